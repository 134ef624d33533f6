"""Front-ends against the peers' own spectrograms, and each graph against its numpy reference."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from edgeaudio.network import open_session
from edgeaudio.spectrogram import Spectrogram, SpectrogramSpec
from edgeaudio_export.frontends import kumar, openl3, spectra, vggish
from edgeaudio_export.frontends.graph import add_power, add_spectrogram
from edgeaudio_export.graphs import GraphBuilder

ALL_OPENL3 = [(r, g) for r in openl3.REPRESENTATIONS for g in openl3.GENERATIONS]


def both(spec: SpectrogramSpec, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a front-end makes of samples [N, n], in a graph and in numpy."""
    b = GraphBuilder()
    add_spectrogram(b, "pcm", spec)
    shape = ["N", spec.frames, spec.bands]
    model = b.model("test", {"pcm": ["N", spec.window]}, {spec.tensor: shape})
    in_graph = open_session(model.SerializeToString()).run(None, {"pcm": samples})[0]
    spectrogram = Spectrogram(spec)
    return in_graph, np.concatenate([spectrogram(window).copy() for window in samples])


def signals(rate: int, count: int) -> np.ndarray:
    """Noise, a chirp, silence, something faint, half silence: float32 [5, count]."""
    time = np.arange(count) / rate
    noise = 0.1 * np.random.default_rng(1).standard_normal(count)
    chirp = 0.7 * np.sin(2 * np.pi * 50 * np.expm1(5 * time) / 5)
    half = np.where(time < time[-1] / 2, noise, 0)
    return np.stack([noise, chirp, 0 * time, 1e-5 * noise, half]).astype(np.float32)


@pytest.mark.parametrize("n_fft", [4, 8, 256, 512, 1024, 2048])
def test_dft_in_a_graph_is_numpys(n_fft: int) -> None:
    rng = np.random.default_rng(n_fft)
    window, hop = rng.random(n_fft - 1), n_fft // 2 - 1
    samples = rng.standard_normal((2, n_fft + 2 * hop)).astype(np.float32)
    wanted = spectra.power(spectra.frames_of(samples[:, :-1], n_fft - 1, hop), window, n_fft)

    b = GraphBuilder()
    power = add_power(b, b.add("Cast", "pcm", to=TensorProto.DOUBLE), 3, hop, window, n_fft)
    b.add("Cast", power, name="power", to=TensorProto.FLOAT)
    shapes = {"pcm": ["N", samples.shape[1]]}, {"power": ["N", 3, n_fft // 2 + 1]}
    session = open_session(b.model("test", *shapes).SerializeToString())
    found = session.run(None, {"pcm": samples})[0]
    assert np.allclose(found, wanted[:, :3], rtol=1e-6, atol=1e-9 * wanted.max())


@given(st.floats(0, 24_000))
def test_mel_scales_have_inverses(hz: float) -> None:
    for warp, back in ((spectra.slaney, spectra.slaney_to_hz), (spectra.htk, spectra.htk_to_hz)):
        assert back(warp(np.array([hz])))[0] == pytest.approx(hz, abs=1e-8)


def test_mel_scales_at_known_points() -> None:
    assert spectra.slaney(np.array([500.0, 1000.0, 6400.0])).tolist() == [7.5, 15.0, 42.0]
    assert spectra.htk(np.array([1000.0]))[0] == pytest.approx(999.9856)


def test_areas_are_one() -> None:
    edges = np.array([0.0, 100.0, 300.0, 700.0])
    bins = np.arange(0, 700, 0.5)
    weights = spectra.area_normalised(edges, bins)
    assert np.allclose(weights.sum(axis=0) * 0.5, 1, atol=1e-4)


@pytest.mark.parametrize(("representation", "generation"), ALL_OPENL3)
def test_openl3_graph_is_its_reference(representation: str, generation: str) -> None:
    samples = signals(48_000, openl3.WINDOW)
    bins, frames = openl3.shape(representation)
    spec = openl3.spec(representation, generation)
    wanted = openl3.reference(samples.astype(np.float64), representation, generation)
    assert (spec.frames, spec.bands) == (frames, bins)
    for found in both(spec, samples):
        assert np.abs(found.transpose(0, 2, 1) - wanted).max() <= 1e-4
    assert np.all(wanted[2] == 0), "a silent window is its own maximum"
    assert wanted.min() >= -80


@pytest.mark.parametrize(("representation", "generation"), ALL_OPENL3)
def test_openl3_spectrograms_are_the_peers(
    shared: Path, recipe: ModuleType, representation: str, generation: str
) -> None:
    refs = np.load(shared / "reference" / "openl3_spectrograms.npz")
    columns = refs["cols197" if representation == "linear" else "cols199"]
    samples, _ = recipe.signal("pink48")
    centred = np.concatenate([np.zeros(24_000), samples])[:96_000].reshape(2, 48_000)
    found = openl3.reference(centred, representation, generation)
    wanted = refs[f"{representation}|pink48|hop1|center|{generation}"]
    assert np.abs(found[:, :, columns] - wanted).max() <= 1e-2
    silence = openl3.reference(np.zeros((1, 48_000)), representation, generation)
    wanted = refs[f"{representation}|silence48|hop1|nocenter|{generation}"]
    assert np.abs(silence[:, :, columns] - wanted).max() <= 1e-4


def test_two_bands_of_mel256_are_empty_in_orig() -> None:
    empty = (openl3.mel_matrix("mel256", "orig") == 0).all(axis=0)
    assert empty.sum() == 2
    assert not (openl3.mel_matrix("mel256", "librosa") == 0).all(axis=0).any()


@pytest.mark.parametrize("offset", [vggish.VGGISH_OFFSET, vggish.YAMNET_OFFSET])
def test_vggish_graph_is_its_reference(offset: float) -> None:
    samples = signals(16_000, vggish.WINDOW)
    wanted = vggish.reference(samples.astype(np.float64), offset)
    for found in both(vggish.spec(offset), samples):
        assert np.abs(found - wanted).max() <= 1e-5
    assert np.allclose(wanted[2], np.log(offset))


def test_vggish_and_yamnet_log_mels_are_the_peers(shared: Path, recipe: ModuleType) -> None:
    samples, _ = recipe.signal("pink16")
    refs = np.load(shared / "reference" / "vggish_refs.npz")
    assert np.abs(vggish.mel_matrix() - refs["mel_matrix"]).max() <= 1e-12
    windows = np.stack([samples[i : i + 15_600] for i in (0, 15_360)])
    found = vggish.reference(windows, vggish.VGGISH_OFFSET)[:, ::4]
    assert np.abs(found - refs["pink16|logmel"]).max() <= 1e-6
    refs = np.load(shared / "reference" / "yamnet_refs.npz")
    windows = np.stack([samples[i : i + 15_600] for i in range(0, 4 * 7800, 7800)])
    found = vggish.reference(windows, vggish.YAMNET_OFFSET)[:, ::4]
    assert np.abs(found - refs["pink16|logmel"]).max() <= 1e-5


@pytest.mark.parametrize("padding", kumar.PADDINGS)
def test_kumar_graph_is_its_reference(padding: str) -> None:
    samples = signals(44_100, kumar.WINDOW)
    wanted = np.stack([kumar.reference(window, padding) for window in samples])
    for found in both(kumar.spec(padding), samples):
        assert np.abs(found - wanted).max() <= 1e-4
    assert np.allclose(wanted[2], -100)


@pytest.mark.parametrize("padding", kumar.PADDINGS)
def test_kumar_log_mel_is_the_peers(shared: Path, recipe: ModuleType, padding: str) -> None:
    refs = np.load(shared / "reference" / "kumar_refs.npz")
    samples, _ = recipe.signal("pink44")
    found = kumar.reference(samples, padding)
    assert np.abs(found[::8] - refs[f"pink44|logmel|{padding}"]).max() <= 1e-4
