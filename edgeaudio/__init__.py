"""edgeaudio hears what a machine is doing, on the machine.

    import edgeaudio

    model = edgeaudio.load_model("t4.onnx")
    decision = edgeaudio.classify_file("recording.wav", model)

Names are imported when they are first used, so that a device loads only what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeaudio.audio.source import ArraySource, Source
    from edgeaudio.classify import classify_file
    from edgeaudio.errors import (
        AudioFileError,
        DataError,
        EdgeAudioError,
        GoldenVectorError,
        MicrophoneError,
        MissingExtraError,
        ModelFileError,
        OutputError,
        OutputExistsError,
    )
    from edgeaudio.hear import get_scene_embeddings, get_timestamp_embeddings
    from edgeaudio.listen import decisions
    from edgeaudio.model import Model, load_model
    from edgeaudio.types import Decision, Event, Prediction, Quality

_HOMES = {
    "ArraySource": "audio.source",
    "AudioFileError": "errors",
    "DataError": "errors",
    "Decision": "types",
    "EdgeAudioError": "errors",
    "Event": "types",
    "GoldenVectorError": "errors",
    "MicrophoneError": "errors",
    "MissingExtraError": "errors",
    "Model": "model",
    "ModelFileError": "errors",
    "OutputError": "errors",
    "OutputExistsError": "errors",
    "Prediction": "types",
    "Quality": "types",
    "Source": "audio.source",
    "classify_file": "classify",
    "decisions": "listen",
    "get_scene_embeddings": "hear",
    "get_timestamp_embeddings": "hear",
    "load_model": "model",
}

__all__ = [
    "ArraySource",
    "AudioFileError",
    "DataError",
    "Decision",
    "EdgeAudioError",
    "Event",
    "GoldenVectorError",
    "MicrophoneError",
    "MissingExtraError",
    "Model",
    "ModelFileError",
    "OutputError",
    "OutputExistsError",
    "Prediction",
    "Quality",
    "Source",
    "classify_file",
    "decisions",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgeaudio' has no attribute {name!r}")
    value = getattr(import_module(f"edgeaudio.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
