"""Which versions made a file."""

from importlib.metadata import version


def versions(*packages: str) -> dict[str, str]:
    """Versions of edgeaudio, numpy, ONNX Runtime and the named packages."""
    return {name: version(name) for name in ("edgeaudio", "numpy", "onnxruntime", *packages)}
