"""Source to predictions: the stretch of the way that offline and live use have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from edgeaudio.audio.quality import assess
from edgeaudio.audio.source import Source
from edgeaudio.audio.windows import passing_windows
from edgeaudio.errors import EdgeAudioError
from edgeaudio.model import Model
from edgeaudio.network import BATCH
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


class Predictor:
    """What the model says of windows. Memory is taken once, for `BATCH` windows."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._samples = np.empty((BATCH, model.window), np.float32)

    def predict(self, windows: Iterable[Window]) -> Iterator[Prediction]:
        """One prediction a window, in order; of `windows` that are complete already.

        Where there are several, because we are behind, up to `BATCH` go through the model
        together. A window need only be valid until the next one is asked for.
        """
        starts: list[int] = []
        for window in windows:
            self._samples[len(starts)] = window.samples
            starts.append(window.start)
            if len(starts) == BATCH:
                yield from self._together(starts)
                starts = []
        if starts:
            yield from self._together(starts)

    def _together(self, starts: list[int]) -> Iterator[Prediction]:
        samples = self._samples[: len(starts)]
        embeddings = self._model.embed(samples)
        likelihoods = self._model.classify(embeddings)
        # All at once: the one who takes them may ask for further windows in between.
        yield from [
            Prediction(start, start + len(pcm), embedding, likelihood, assess(pcm))
            for start, pcm, embedding, likelihood in zip(
                starts, samples, embeddings, likelihoods, strict=True
            )
        ]


def predictions(model: Model, source: Source, spec: WindowSpec) -> Iterator[Prediction]:
    """What the model says of each window of `source`, which need not be live."""
    return Predictor(model).predict(passing_windows(source, spec))
