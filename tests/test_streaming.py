"""Offline equals streaming: the same numbers, however the sound arrives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeaudio.audio.source import ArraySource
from edgeaudio.classify import classify_file, classify_source
from edgeaudio.listen import decisions
from edgeaudio.model import Model, load_model
from edgeaudio.pipeline import predictions
from edgeaudio.types import F32

BLOCKS = [1, 37, 480, 4096, None]


def embeddings(model: Model, source: ArraySource) -> F32:
    found = predictions(model, source, model.contract.window_spec)
    return np.stack([p.embedding for p in found])


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("rate", "tolerance"), [(16_000, 0.0), (44_100, 1e-5), (48_000, 1e-5)])
def test_embeddings(
    model: Model, noise: F32, rate: int, tolerance: float, block: int | None
) -> None:
    whole = embeddings(model, ArraySource(noise, rate))
    parts = embeddings(model, ArraySource(noise, rate, block=block))
    assert np.abs(parts - whole).max() <= tolerance


@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(block=st.integers(1, 48_000), rate=st.sampled_from([16_000, 22_050, 48_000]))
def test_embeddings_over_drawn_blocks(model: Model, noise: F32, block: int, rate: int) -> None:
    stereo = np.stack([noise, noise[::-1]], axis=1)
    whole = embeddings(model, ArraySource(stereo, rate))
    parts = embeddings(model, ArraySource(stereo, rate, block=block))
    assert np.abs(parts - whole).max() <= (0 if rate == 16_000 else 1e-5)


@pytest.mark.parametrize("name", ["engine_model", "early_model"])
@pytest.mark.parametrize("block", [37, 4096, None])
def test_a_horizon_over_the_file_is_the_file(
    name: str, block: int | None, engine_folder: Path, request: pytest.FixtureRequest
) -> None:
    import soundfile

    model = load_model(request.getfixturevalue(name))
    for label in model.labels:
        path = engine_folder / label / f"{label}-00.wav"
        samples, rate = soundfile.read(path, dtype="float32")
        source = ArraySource(samples, rate, block=block)
        (live,) = decisions(model, source, horizon=60)
        assert live == classify_file(path, model)


def test_each_horizon_is_what_offline_says_of_that_stretch(model: Model, noise: F32) -> None:
    live = list(decisions(model, ArraySource(noise, 16_000, block=480), horizon=2.0))
    assert len(live) == 3
    for decision in live:
        stretch = ArraySource(noise[decision.start : decision.end], 16_000)
        offline = classify_source(stretch, model)
        assert offline.likelihoods == decision.likelihoods
        assert (offline.label, offline.windows) == (decision.label, decision.windows)


def test_hop_can_be_chosen(model: Model, noise: F32) -> None:
    live = list(decisions(model, ArraySource(noise, 16_000), hop=0.25, horizon=1.0))
    assert [d.start for d in live] == list(range(0, 32_001, 4000))
