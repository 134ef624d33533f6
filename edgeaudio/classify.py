"""Offline: a whole recording to one decision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgeaudio.audio.source import Source
from edgeaudio.decide.fusion import Fusion
from edgeaudio.model import Model
from edgeaudio.pipeline import predictions, window_spec
from edgeaudio.types import Decision, Prediction


def classify_file(path: str | Path, model: Model, *, hop: float | None = None) -> Decision:
    """Decide over all windows of a recording, by the fusion that the model file names.

    hop: seconds between windows, the model's own if None. Quality is reported beside the
    label and never takes it away. Memory does not depend on the length of the recording.
    Raises AudioFileError if the recording can't be read.
    """
    from edgeaudio.audio.file import FileSource

    with FileSource(path) as source:
        return classify_source(source, model, hop=hop)


def classify_source(
    source: Source,
    model: Model,
    *,
    hop: float | None = None,
    on_prediction: Callable[[Prediction], None] | None = None,
) -> Decision:
    """As `classify_file`, of any source that ends. `on_prediction` sees each window pass."""
    fusion = fusion_of(model)
    for prediction in predictions(model, source, window_spec(model, hop)):
        fusion.add(prediction)
        if on_prediction:
            on_prediction(prediction)
    return fusion.decision()


def fusion_of(model: Model) -> Fusion:
    """A fresh fusion of the kind that the model's head was trained for."""
    kind = model.contract.head.fusion if model.contract.head else "late"
    return Fusion(kind, model.labels, model.classify)
