"""Recordings to embeddings, through the same windows and the same session as on the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgeaudio.audio.file import FileSource
from edgeaudio.audio.windows import windows_of
from edgeaudio.errors import AudioFileError
from edgeaudio.network import open_network
from edgeaudio.pipeline import hop_samples
from edgeaudio.types import F32, WindowSpec
from edgeaudio_export.datasets.recordings import Dataset, Skipped, check_not_empty
from edgeaudio_export.extractors import Extractor

Progress = Callable[[int, int], None]
"""Told how many recordings are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A data set with its embeddings: one float32 [windows, D] for each usable recording.

    dataset: what was usable; files that turned out unreadable have moved to `skipped`.
    """

    dataset: Dataset
    embeddings: tuple[F32, ...]


def embed_dataset(
    dataset: Dataset, extractor: Extractor, hop: float | None, progress: Progress
) -> Embedded:
    """Embed each recording. hop in seconds, half a window if None.

    Unreadable, empty or too short recordings are skipped with a reason.
    Raises DataError if a class has none left.
    """
    embedder = WindowEmbedder(extractor, spec_of(extractor, hop))
    kept, embeddings = [], []
    skipped = list(dataset.skipped)
    for done, recording in enumerate(dataset.recordings):
        progress(done, len(dataset.recordings))
        try:
            rows = embedder.embed(recording.path)
        except AudioFileError as error:
            skipped.append(Skipped(recording.path, recording.label, str(error), recording.split))
        else:
            kept.append(recording)
            embeddings.append(rows)
    progress(len(dataset.recordings), len(dataset.recordings))
    usable = replace(dataset, recordings=tuple(kept), skipped=tuple(skipped))
    check_not_empty(usable)
    return Embedded(usable, tuple(embeddings))


def spec_of(extractor: Extractor, hop: float | None) -> WindowSpec:
    """How recordings are cut for `extractor`. Raises EdgeAudioError for a hop out of range."""
    rate = extractor.sample_rate
    step = extractor.hop if hop is None else hop_samples(hop, rate)
    return WindowSpec(rate, extractor.window, step)


class WindowEmbedder:
    """An extractor at work on recordings, cut as a device cuts them."""

    def __init__(self, extractor: Extractor, spec: WindowSpec, graph: bytes | None = None) -> None:
        """graph: of the extractor, serialised; made here if None."""
        data = extractor.graph().SerializeToString() if graph is None else graph
        sizes = (extractor.window, extractor.dimensions)
        self._network = open_network(data, extractor.front_end, *sizes)
        self._spec = spec

    def embed(self, path: Path) -> F32:
        """Embeddings [windows, D] of a recording. Raises AudioFileError."""
        with FileSource(path) as source:
            windows = windows_of(source, self._spec)
            return np.concatenate([self._network.embed(w.samples[None]) for w in windows])
