"""Whole recordings to embeddings as the extractors' own code does it, for research."""
