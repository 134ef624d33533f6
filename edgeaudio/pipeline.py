"""Source to predictions: the stretch of the way that offline and live use have in common."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from edgeaudio.audio.quality import assess
from edgeaudio.audio.source import Source
from edgeaudio.audio.windows import windows_of
from edgeaudio.errors import EdgeAudioError
from edgeaudio.model import Model
from edgeaudio.types import Prediction, Window, WindowSpec

MIN_HOP, MAX_HOP = 0.001, 3600.0  # seconds


def window_spec(model: Model, hop: float | None) -> WindowSpec:
    """The model's windows, with another hop (seconds) if given. Raises EdgeAudioError."""
    spec = model.contract.window_spec
    if hop is None:
        return spec
    return replace(spec, hop=hop_samples(hop, spec.sample_rate))


def hop_samples(hop: float, sample_rate: int) -> int:
    """A hop of so many seconds in samples. Raises EdgeAudioError unless it is 0.001 to 3600 s."""
    if not (math.isfinite(hop) and MIN_HOP <= hop <= MAX_HOP):
        raise EdgeAudioError(f"A hop of {hop} s can't be used; expected {MIN_HOP} to {MAX_HOP} s.")
    return max(1, round(hop * sample_rate))


def predict(model: Model, window: Window) -> Prediction:
    """What the model says of one window."""
    embedding = model.embed(window.samples[None])
    return Prediction(
        start=window.start,
        end=window.start + len(window.samples),
        embedding=embedding[0],
        likelihood=model.classify(embedding)[0],
        quality=assess(window.samples),
    )


def predictions(model: Model, source: Source, spec: WindowSpec) -> Iterator[Prediction]:
    """What the model says of each window of `source`."""
    for window in windows_of(source, spec):
        yield predict(model, window)
