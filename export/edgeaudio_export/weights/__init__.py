"""Official weights: which there are, where they are kept, and how they are fetched and read."""

from edgeaudio_export.weights.registry import Official, officials
from edgeaudio_export.weights.store import (
    Weights,
    WeightsInfo,
    find,
    load_file,
    present,
    require,
    save,
    weights_home,
)

__all__ = [
    "Official",
    "Weights",
    "WeightsInfo",
    "find",
    "load_file",
    "officials",
    "present",
    "require",
    "save",
    "weights_home",
]
