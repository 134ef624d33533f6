"""Recordings to embeddings, through the same windows and the same session as on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from edgeaudio.audio.file import FileSource
from edgeaudio.audio.windows import windows_of
from edgeaudio.errors import AudioFileError
from edgeaudio.model import Network, open_session
from edgeaudio.pipeline import hop_samples
from edgeaudio.types import F32, WindowSpec
from edgeaudio_export.datasets.recordings import Dataset, Recording, Skipped, check_not_empty
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
    spec = spec_of(extractor, hop)
    graph = extractor.graph().SerializeToString()
    network = Network(open_session(graph), extractor.window, extractor.dimensions)
    kept, embeddings = [], []
    skipped = list(dataset.skipped)
    for done, recording in enumerate(dataset.recordings):
        progress(done, len(dataset.recordings))
        try:
            windows = list(_windows(recording, spec, network))
        except AudioFileError as error:
            skipped.append(Skipped(recording.path, recording.label, str(error), recording.split))
        else:
            kept.append(recording)
            embeddings.append(np.concatenate(windows))
    progress(len(dataset.recordings), len(dataset.recordings))
    usable = replace(dataset, recordings=tuple(kept), skipped=tuple(skipped))
    check_not_empty(usable)
    return Embedded(usable, tuple(embeddings))


def spec_of(extractor: Extractor, hop: float | None) -> WindowSpec:
    """How recordings are cut for `extractor`. Raises EdgeAudioError for a hop out of range."""
    rate = extractor.sample_rate
    step = extractor.hop if hop is None else hop_samples(hop, rate)
    return WindowSpec(rate, extractor.window, step)


def _windows(recording: Recording, spec: WindowSpec, network: Network) -> Iterator[F32]:
    with FileSource(recording.path) as source:
        for window in windows_of(source, spec):
            yield network.embed(window.samples[None])
