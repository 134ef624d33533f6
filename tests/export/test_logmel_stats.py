from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgeaudio.network import Network, open_network
from edgeaudio_export.extractors import get_extractor
from edgeaudio_export.frontends import logmel_stats as frontend
from edgeaudio_export.golden import generated_windows, on_grid

TIME = np.arange(16_000) / 16_000


def make_network(front_end: bool = True) -> Network:
    """With the front-end in numpy, or in the graph."""
    extractor = get_extractor("logmel-stats")
    outside = extractor.front_end if front_end else None
    return open_network(extractor.graph().SerializeToString(), outside, 16_000, 512)


@pytest.fixture(scope="module", params=["numpy", "graph"])
def network(request: pytest.FixtureRequest) -> Network:
    return make_network(request.param == "numpy")


def signals() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    click = np.zeros(16_000)
    click[8000] = 1
    return {
        "noise": 0.1 * rng.standard_normal(16_000),
        "full-scale noise": rng.uniform(-1, 1, 16_000),
        "tone on a bin": np.sin(2 * np.pi * 1000 * TIME),
        "tone between bins": 0.7 * np.sin(2 * np.pi * 997.3 * TIME),
        "sweep": 0.7 * np.sin(2 * np.pi * 50 * np.expm1(5 * TIME) / 5),
        "silence": np.zeros(16_000),
        "constant": np.ones(16_000),
        "click": click,
        "barely audible": 1e-6 * np.sin(2 * np.pi * 440 * TIME),
        "half silence": np.where(TIME < 0.5, 0.1 * rng.standard_normal(16_000), 0),
    }


@pytest.mark.parametrize("name", signals())
def test_graph_is_the_reference(network: Network, name: str) -> None:
    window = signals()[name].astype(np.float32)[None]
    assert np.abs(network.embed(window) - frontend.reference(window)).max() <= 1e-5


@settings(deadline=None, max_examples=15)
@given(arrays.arrays(np.float32, 16, elements=st.floats(-1, 1, width=32)), st.integers(1, 1000))
def test_graph_is_the_reference_on_anything(knots: np.ndarray, repeat: int) -> None:
    network = make_network()
    window = np.resize(np.repeat(knots, repeat), 16_000)[None].astype(np.float32)
    assert np.abs(network.embed(window) - frontend.reference(window)).max() <= 1e-5


def test_levels_are_dbfs() -> None:
    """A full-scale sine on the centre of a band reads about 0 dB there, and 20 dB less is -20."""
    bank = frontend.LOG_MEL.mel_matrix()
    band = 60
    hz = int(bank[:, band].argmax()) * 16_000 / 1024
    for amplitude, level in ((1.0, 0), (0.1, -20)):
        tone = amplitude * np.sin(2 * np.pi * hz * TIME)
        mean = frontend.reference(tone[None].astype(np.float32))[0, :128]
        assert int(mean.argmax()) == band
        assert level - 1 <= mean[band] <= level + 4, "neighbouring bins of the main lobe add up"


def test_silence_is_the_floor_and_does_not_move() -> None:
    embedding = frontend.reference(np.zeros((1, 16_000), np.float32))[0]
    assert np.all(embedding[:128] == -100)
    assert np.abs(embedding[128:]).max() < 1e-12


def test_every_band_holds_a_bin_and_peaks_below_one() -> None:
    bank = frontend.LOG_MEL.mel_matrix()
    assert bank.shape == (513, 128)
    assert (bank.max(axis=0) > 0.3).all()
    assert bank.max() <= 1


def test_delta_is_a_slope_in_db_a_frame() -> None:
    """Sound that rises by 0.5 dB a frame (50 dB a second) has that delta, without deviation."""
    rising = 10 ** ((50 * TIME - 60) / 20) * np.random.default_rng(0).standard_normal(16_000)
    delta = frontend.reference(rising[None].astype(np.float32))[0, 256:384]
    assert np.median(delta) == pytest.approx(0.5, abs=0.02)
    exact = (np.arange(98) * 0.5) @ frontend.delta_matrix()
    assert np.allclose(exact, 0.5)


def test_digest_is_fixed() -> None:
    """Heads are tied to it: change the front-end, and the digest must change with it."""
    assert frontend.digest().startswith("419b194a77130938")


def test_embeddings_are_fixed() -> None:
    """As in version 1. If this fails, `VERSION` must change, and heads be trained anew."""
    windows = generated_windows(16_000, 16_000)
    pcm = np.stack([on_grid(windows[name]) / 32768 for name in ("noise", "sweep")])
    found = frontend.reference(pcm.astype(np.float32))[:, [0, 64, 127, 168, 266, 484]]
    wanted = [
        [-39.273, -36.150, -27.933, 4.611, -0.006, 0.420],
        [-73.231, -91.672, -99.831, 21.270, -0.461, 3.660],
    ]
    assert np.allclose(found, wanted, atol=1e-3)
