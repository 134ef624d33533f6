"""The network that is trained from scratch."""

from __future__ import annotations

import numpy as np
import pytest

from edgeaudio.errors import EdgeAudioError, MissingExtraError
from edgeaudio.network import open_network, open_session
from edgeaudio_export.extractors import get_extractor
from edgeaudio_export.frontends import logmel
from edgeaudio_export.golden import generated_windows
from edgeaudio_export.heads import cnn, training
from edgeaudio_export.heads.cnn import CnnHead
from edgeaudio_export.heads.kinds import check_head


def spectrograms(each: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Two classes that differ in how a band moves, not in its mean, float32 [2 * each, 3136]."""
    random = np.random.default_rng(0)
    images = random.normal(-60, 5, (2 * each, logmel.PATCH.frames, logmel.PATCH.bands))
    beat = 15 * np.sign(np.sin(np.arange(logmel.PATCH.frames)))
    images[:each, :, 20:30] += beat[None, :, None]
    images[each:, :, 20:30] += 15 * random.choice([-1, 1], (each, logmel.PATCH.frames, 1))
    labels = np.repeat(["beat", "noise"], each)
    return images.reshape(2 * each, -1).astype(np.float32), labels


@pytest.fixture(scope="module")
def head() -> CnnHead:
    pytest.importorskip("torch")
    return CnnHead(epochs=2).fit(*spectrograms())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(cnn, "STEPS", (4, 4))


def test_it_learns_what_moves(head: CnnHead) -> None:
    X, y = spectrograms()
    assert np.mean(head.predict(X) == y) > 0.9


def test_graph_and_torch_agree(head: CnnHead) -> None:
    X = spectrograms()[0] + np.random.default_rng(3).normal(0, 5, (40, logmel.DIMENSIONS))
    X = X.astype(np.float32)
    found = open_session(head.graph().SerializeToString()).run(None, {"embedding": X})[0]
    assert np.abs(found - head.predict_proba(X)).max() <= 1e-5
    assert head.check_graph(X) <= 1e-5


@pytest.mark.usefixtures("quick")
def test_the_same_data_give_the_same_network() -> None:
    X, y = spectrograms()
    one, again = (CnnHead().fit(X, y).predict_proba(X) for _ in range(2))
    assert np.array_equal(one, again)


def test_it_is_small(head: CnnHead) -> None:
    arrays = [a for pair in head.convolutions_ for a in pair] + [head.weight_, head.bias_]
    assert sum(a.size for a in arrays) < 110_000


def test_it_goes_with_its_extractor_alone() -> None:
    pytest.importorskip("torch")
    with pytest.raises(EdgeAudioError, match="goes with the extractor logmel alone, not with yam"):
        check_head("cnn", "yamnet")
    with pytest.raises(EdgeAudioError, match="looks at the 3136 values of the extractor logmel"):
        CnnHead().fit(np.zeros((4, 512), np.float32), ["a", "b", "a", "b"])


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"The head cnn needs torch"):
        CnnHead.ready()


@pytest.mark.parametrize("name", generated_windows(32_000, 32_000))
def test_the_extractor_is_its_reference(name: str) -> None:
    extractor = get_extractor("logmel")
    data = extractor.graph().SerializeToString()
    network = open_network(data, extractor.front_end, 32_000, extractor.dimensions)
    window = generated_windows(32_000, 32_000)[name][None]
    assert np.abs(network.embed(window) - logmel.reference(window)).max() <= 1e-5


def test_levels_are_kept() -> None:
    """A full-scale sine reads about 0 dB in its band, and a tenth of it 20 dB less."""
    sine = np.sin(2 * np.pi * 1000 * np.arange(32_000) / 32_000).astype(np.float32)
    loud, soft = (logmel.reference(a * sine[None]) for a in (1.0, 0.1))
    assert loud.max() == pytest.approx(0, abs=1.5)
    strong = loud > -30
    assert (loud - soft)[strong] == pytest.approx(20, abs=1e-3)
