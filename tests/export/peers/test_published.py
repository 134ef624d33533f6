"""The comparison with published numbers, made with weights that are not the official ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeaudio.errors import AudioFileError
from edgeaudio_export.extractors import get_extractor
from edgeaudio_export.peers import published
from edgeaudio_export.peers.files import FileEmbedder

ID = "openl3-mel256-music"


@pytest.fixture
def kept(drawn_weights: Callable[[str], None]) -> None:
    drawn_weights(ID)


@pytest.fixture
def sound(tmp_path: Path) -> Callable[[float], Path]:
    """Noise at 44.1 kHz of so many seconds."""

    def write(seconds: float) -> Path:
        path = tmp_path / f"{seconds}.wav"
        noise = 0.1 * np.random.default_rng(2).standard_normal(int(44_100 * seconds))
        soundfile.write(path, noise, 44_100)
        return path

    return write


def as_published(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what these weights give for `path` as the published numbers."""
    entry = published.PUBLISHED[ID]
    found = {}
    for generation in entry.norms:
        extractor = get_extractor(f"{entry.extractor}@{generation}")
        embedder = FileEmbedder(extractor, hop=entry.hop, center=True, resampler="resampy")
        found[generation] = embedder.embed(path).embedding
    entry = replace(
        entry,
        frames=len(found["orig"]),
        first=tuple(found["orig"][0, :8].tolist()),
        norms={g: tuple(np.linalg.norm(e, axis=1).tolist()) for g, e in found.items()},
    )
    monkeypatch.setitem(published.PUBLISHED, ID, entry)


@pytest.mark.usefixtures("kept")
def test_other_weights_are_told_from_the_published() -> None:
    (only,) = published.compare_silence(ID)
    assert only.what == "the first values of frame 0"
    assert only.distance > 0.1
    assert not only.holds


@pytest.mark.usefixtures("kept")
def test_the_same_weights_are_recognised(
    sound: Callable[[float], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sound(0.55)
    as_published(path, monkeypatch)
    compared = published.compare_chirp(ID, path)
    assert [c.what.split()[-1] for c in compared] == ["orig", "0", "kapre", "librosa"]
    assert all(c.holds for c in compared)
    # Without the recording: the values that see nothing but the silence in front of it.
    (silence,) = published.compare_silence(ID)
    assert silence.distance <= 1e-6
    with pytest.raises(AudioFileError, match="it is not chirp_44k.wav"):
        published.compare_chirp(ID, sound(0.8))


def test_nothing_is_claimed_where_nothing_was_published() -> None:
    assert published.compare_silence("kumar") == ()
    assert published.compare_silence("openl3-linear-env") == ()
    assert not published.Comparison("x", float("nan"), 1.0).holds
