"""Official OpenL3 weights against the numbers that were published for them.

openl3's regression tests hold embeddings of its own recording `chirp_44k.wav` for two of the
weight files. With that recording at hand, all that is known here of them is compared. Without
it, a part still can be: where windows are centred, the first half of the first window is
silence whatever the recording is, and the first values of a 6144-d embedding see nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeaudio.errors import AudioFileError
from edgeaudio.network import open_session
from edgeaudio.types import F64
from edgeaudio_export.extractors import get_extractor
from edgeaudio_export.peers.files import FileEmbedder

TOLERANCE = 1e-3
"""Relative. What is compared was computed with float32, on other machines."""

_SEEN = 8  # values of the first block of the map, in which there is nothing but silence
_CHIRP_TOLERANCE = 1e-2  # single values and float32 DFTs: a chirp is the worst signal for both


@dataclass(frozen=True)
class Published:
    """Of chirp_44k.wav: how many frames, the first values of frame 0, L2 norms of some frames.

    norms: by generation of the front-end.
    """

    extractor: str
    hop: float
    center: bool
    frames: int
    first: tuple[float, ...]
    norms: Mapping[str, tuple[float, ...]]


# openl3, tests/data/regression: files of releases before 0.4 (orig), kapre and librosa.
PUBLISHED = {
    "openl3-mel256-music": Published(
        extractor="openl3-mel256-music-6144",
        hop=0.1,
        center=True,
        frames=16,
        first=(2.430837, 1.114954, 1.819257, 0.056066, 2.306501, 1.348206, 0.928946, 1.227291),
        norms={
            "orig": (113.2361, 115.7027, 122.3369, 124.2773, 123.5157),
            "kapre": (109.8766, 110.1929, 118.7472, 117.0105, 117.3764),
            "librosa": (111.1185, 115.7538, 117.6779, 118.3468, 117.3633),
        },
    ),
    "openl3-linear-env": Published(
        extractor="openl3-linear-env-512",
        hop=0.5,
        center=False,
        frames=3,
        first=(0.912009, 3.06573, 2.032295, 1.330799, 2.817073, 1.317719, 1.515226, 2.705816),
        norms={"orig": (48.8809, 47.947, 48.627)},
    ),
}


@dataclass(frozen=True)
class Comparison:
    """One list of published numbers. distance: relative, in the L2 norm."""

    what: str
    distance: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether they are reproduced; not by NaN."""
        return self.distance <= self.tolerance


def compare_silence(id: str) -> tuple[Comparison, ...]:
    """What can be compared for the kept weights `id` without a recording; maybe nothing.

    Raises MissingWeightsError, WeightsFileError.
    """
    published = PUBLISHED.get(id)
    if published is None or not published.center:
        return ()
    found = first_values(published.extractor)
    return (_compared("the first values of frame 0", found, published.first, TOLERANCE),)


def compare_chirp(id: str, chirp: Path) -> tuple[Comparison, ...]:
    """All that was published for the kept weights `id`; empty where nothing was.

    chirp: tests/data/audio/chirp_44k.wav of openl3.
    Raises MissingWeightsError, WeightsFileError, and AudioFileError for another recording.
    """
    published = PUBLISHED.get(id)
    if published is None:
        return ()
    compared = []
    for generation, norms in published.norms.items():
        found = _embed(published, generation, chirp)
        tolerance = _CHIRP_TOLERANCE if generation == "kapre" else TOLERANCE
        lengths = np.linalg.norm(found, axis=1)[: len(norms)]
        compared.append(_compared(f"L2 norms, front-end {generation}", lengths, norms, tolerance))
        if generation == "orig":
            # Where windows are not centred, they see the chirp itself.
            close = TOLERANCE if published.center else _CHIRP_TOLERANCE
            first, wanted = found[0, :_SEEN], published.first
            compared.append(_compared("the first values of frame 0", first, wanted, close))
    return tuple(compared)


def first_values(extractor: str) -> F64:
    """First eight values of a 6144-d embedding of half a second of silence, then noise."""
    found = get_extractor(extractor)
    samples = 0.1 * np.random.default_rng(0).standard_normal((1, found.window))
    samples[:, : found.window // 2] = 0
    session = open_session(found.graph().SerializeToString())
    embedding = session.run(["embedding"], {"pcm": samples.astype(np.float32)})[0]
    return np.asarray(embedding[0, :_SEEN], np.float64)


def _embed(published: Published, generation: str, chirp: Path) -> F64:
    extractor = get_extractor(published.extractor, options={"frontend": generation})
    embedder = FileEmbedder(
        extractor, hop=published.hop, center=published.center, resampler="resampy"
    )
    found = embedder.embed(chirp).embedding.astype(np.float64)
    if len(found) != published.frames:
        raise AudioFileError(
            f"{chirp} gives {len(found)} frames, {published.frames} were published; "
            "it is not chirp_44k.wav of openl3's tests."
        )
    return found


def _compared(what: str, found: F64, wanted: tuple[float, ...], tolerance: float) -> Comparison:
    distance = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    return Comparison(what, float(distance), tolerance)
