"""Windows through the model: one after the other, or several together when we are behind."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edgeaudio.audio.source import ArraySource
from edgeaudio.audio.windows import windows_of
from edgeaudio.listen import decisions
from edgeaudio.model import Model
from edgeaudio.pipeline import BATCH, Predictor
from edgeaudio.sinks.base import Sink
from edgeaudio.types import F32, Block, Window


class Counting:
    """A model that notes how many windows it is given at once."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.groups: list[int] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def embed(self, windows: F32) -> F32:
        self.groups.append(len(windows))
        return self._model.embed(windows)


def passing(windows: list[Window]) -> Iterator[Window]:
    """As the windower gives them: each overwrites the one before."""
    buffer = np.empty_like(windows[0].samples)
    for window in windows:
        buffer[:] = window.samples
        yield Window(buffer, window.start)
        buffer[:] = np.nan


@pytest.mark.parametrize("count", [1, 2, BATCH, BATCH + 1, 2 * BATCH + 3])
def test_together_or_alone_gives_the_same_in_order(model: Model, noise: F32, count: int) -> None:
    source = ArraySource(np.tile(noise, 3), 16_000)
    windows = list(windows_of(source, model.contract.window_spec))[:count]
    counting = Counting(model)
    together = list(Predictor(counting).predict(passing(windows)))  # type: ignore[arg-type]
    assert counting.groups == [min(BATCH, count - i) for i in range(0, count, BATCH)]
    for window, found in zip(windows, together, strict=True):
        (alone,) = Predictor(model).predict([window])
        assert (found.start, found.end, found.quality) == (alone.start, alone.end, alone.quality)
        assert np.array_equal(found.embedding, alone.embedding)
        assert np.array_equal(found.likelihood, alone.likelihood)


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_being_behind_changes_no_decision(model: Model, noise: F32, rate: int) -> None:
    sound = np.tile(noise, rate // 16_000)
    behind, current = Counting(model), Counting(model)
    late = list(decisions(behind, ArraySource(sound, rate), hop=0.1, horizon=1.0))  # type: ignore[arg-type]
    source = ArraySource(sound, rate, block=rate // 100)
    prompt = list(decisions(current, source, hop=0.1, horizon=1.0))  # type: ignore[arg-type]
    assert late == prompt
    assert max(behind.groups) == BATCH
    assert set(current.groups) <= {1, BATCH}, "soxr keeps windows back, and gives them together"


class Torn(ArraySource):
    """Sound with a gap in it, in blocks that are views of one buffer, as a microphone's are."""

    def blocks(self) -> Iterator[Block]:
        buffer = np.empty((16_000, 1), np.float32)
        for at in range(0, 48_000, 16_000):
            buffer[:] = self._samples[at : at + 16_000]
            yield Block(buffer, at + 8000 * (at > 16_000), gap=at == 32_000)
            buffer[:] = np.nan


def test_a_gap_ends_what_goes_through_together(model: Model, noise: F32) -> None:
    found = list(decisions(model, Torn(noise, 16_000), hop=0.25, horizon=1.0))
    spans = [(d.start, d.end, d.label == "INVALID") for d in found]
    window = model.window
    starts = range(0, 32_000 - window + 1, 4000)
    assert [s for s, _, invalid in spans if not invalid][: len(starts)] == list(starts)
    assert [s for s in spans if s[2]] == [(found[len(starts) - 1].end, 40_000, True)]
    assert [s for s, _, _ in spans[len(starts) + 1 :]] == [40_000]
    clean = list(decisions(model, ArraySource(noise[32_000:], 16_000), hop=0.25, horizon=1.0))
    assert found[-1].likelihoods == clean[-1].likelihoods


class Meter(Sink):
    def __init__(self) -> None:
        self.levels: list[float] = []

    def level(self, dbfs: float) -> None:
        self.levels.append(dbfs)


def test_the_level_is_measured_for_those_who_show_it(
    model: Model, noise: F32, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []

    def measure(samples: F32) -> float:
        measured.append(len(samples))
        return -20.0

    monkeypatch.setattr("edgeaudio.listen.rms_dbfs", measure)
    source = ArraySource(noise, 16_000, block=1600)
    list(decisions(model, source, [Sink()], horizon=1.0))
    assert not measured
    meter = Meter()
    list(decisions(model, source, [meter], horizon=1.0))
    assert len(meter.levels) == len(measured) >= 30
