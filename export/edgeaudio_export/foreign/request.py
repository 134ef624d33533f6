"""What the worker process is asked, and what a converter answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import onnx

from edgeaudio.types import F32, F64

SourceKind = Literal["keras", "savedmodel", "tflite", "onnx"]

KIND_NAMES: dict[SourceKind, str] = {
    "keras": "Keras model",
    "savedmodel": "TensorFlow SavedModel",
    "tflite": "TensorFlow Lite model",
    "onnx": "ONNX model",
}


class Refused(ValueError):  # noqa: N818 - it is an answer, and no accident
    """A model is not taken. The message is the end of a sentence, without the file's name."""


@dataclass(frozen=True)
class Request:
    """One conversion. source: the private copy. layer: whose output to take, the last if None.

    exact: of how many signals, the first ones, float64 results are wanted.
    """

    kind: SourceKind
    source: str
    layer: str | None
    exact: int = 0


@dataclass(frozen=True)
class Converted:
    """What a converter makes of a source.

    network: ONNX with one input and one output, dimensions as the source has them; the first
    one is open where the source takes any number of windows. outputs: what the source's own
    runtime says of each signal, float32 [signals, D]. exact: the same in float64 arithmetic, of
    as many signals as it was asked for, where that could be had.
    """

    network: onnx.ModelProto
    outputs: F32
    exact: F64 | None = None


def named(choices: list[str], most: int = 12) -> str:
    """A list for the end of a sentence, cut where it gets long."""
    shown = ", ".join(choices[:most])
    return shown + (f" and {len(choices) - most} more" if len(choices) > most else "")
