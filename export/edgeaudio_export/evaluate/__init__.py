"""Which extractor, head and fusion to ship: cross-validation, and a report of it."""
