"""Waveform to features, each front-end as an ONNX graph with a numpy reference beside it."""
