"""Which versions made a file."""

from importlib.metadata import PackageNotFoundError, version


def versions(*packages: str) -> dict[str, str]:
    """Versions of edgeaudio, numpy, ONNX Runtime and the named packages that are installed."""
    found = {}
    for name in ("edgeaudio", "numpy", "onnxruntime", *packages):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
