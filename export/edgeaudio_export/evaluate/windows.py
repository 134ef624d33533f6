"""Embeddings of every window of a data set, computed once a recording and extractor.

What was computed lies under `EDGEAUDIO_HOME`, by the digest of the recording and of all that
shapes the result; a second run opens no recording. For the tasks it is put into one file, which
they map into memory.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgeaudio.audio.resample import resampler_name
from edgeaudio.errors import AudioFileError
from edgeaudio.files import write_atomic
from edgeaudio.types import F32
from edgeaudio_export.datasets.recordings import Dataset, Skipped, check_not_empty
from edgeaudio_export.embed import WindowEmbedder, spec_of
from edgeaudio_export.extractors import get_extractor
from edgeaudio_export.processes import in_processes
from edgeaudio_export.weights.store import make_folder, weights_home

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Windows:
    """Where the embeddings of a data set are. path: .npy, float32 [windows, D].

    bounds: recording i has the rows bounds[i] to bounds[i + 1].
    """

    path: Path
    bounds: tuple[int, ...]

    def open(self) -> tuple[F32, ...]:
        """One [windows, D] a recording, mapped, not read."""
        rows = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return tuple(rows[a:b] for a, b in zip(self.bounds, self.bounds[1:], strict=False))


def embed_windows(
    dataset: Dataset, digests: Sequence[str], id: str, jobs: int, progress: Progress
) -> tuple[list[F32 | None], list[Skipped]]:
    """Embeddings by the extractor `id` of each recording, None where it can't be used; why not."""
    extractor = get_extractor(id)
    settings = [extractor.id, extractor.digest, extractor.hop, resampler_name()]
    files = [_kept(digest, settings) for digest in digests]
    found = [_read(path, extractor.dimensions) for path in files]
    missing = [i for i, rows in enumerate(found) if rows is None]
    skipped: list[Skipped] = []
    done = len(found) - len(missing)
    progress(done, len(found))
    work = [(dataset.recordings[i].path, files[i]) for i in missing]
    errors = in_processes(jobs, _Embedder, (id,), work) if work else ()
    for i, error in zip(missing, errors, strict=True):
        done += 1
        progress(done, len(found))
        found[i] = None if error else _read(files[i], extractor.dimensions)
        if error:
            recording = dataset.recordings[i]
            skipped.append(Skipped(recording.path, recording.label, error, recording.split))
    return found, skipped


class _Embedder:
    """Writes the embeddings of a recording to a file; gives why not, or nothing."""

    def __init__(self, id: str) -> None:
        extractor = get_extractor(id)
        self._embedder = WindowEmbedder(extractor, spec_of(extractor, None))

    def __call__(self, item: tuple[Path, Path]) -> str:
        recording, output = item
        try:
            rows = self._embedder.embed(recording)
        except AudioFileError as error:
            return str(error)
        memory = io.BytesIO()
        np.save(memory, rows)
        make_folder(output.parent)
        write_atomic(output, memory.getvalue(), overwrite=True)
        return ""


def without(dataset: Dataset, skipped: Sequence[Skipped]) -> Dataset:
    """The data set without what can't be used. Raises DataError if a class is left empty."""
    paths = {s.path for s in skipped}
    kept = tuple(r for r in dataset.recordings if r.path not in paths)
    found = replace(dataset, recordings=kept, skipped=(*dataset.skipped, *skipped))
    check_not_empty(found)
    return found


def join(rows: Sequence[F32], path: Path) -> Windows:
    """Write embeddings, one [windows, D] a recording, into one file for the tasks."""
    bounds = np.cumsum([0, *map(len, rows)]).tolist()
    with path.open("wb") as file:
        np.save(file, np.concatenate(rows))
    return Windows(path, tuple(bounds))


def _kept(digest: str, settings: list[object]) -> Path:
    key = hashlib.sha256(json.dumps([digest, *settings]).encode()).hexdigest()
    return weights_home().parent / "cache" / "windows" / key[:2] / f"{key}.npy"


def _read(path: Path, dimensions: int) -> F32 | None:
    if not path.is_file():
        return None
    try:
        rows: F32 = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = rows.ndim == 2 and rows.shape[1] == dimensions and len(rows) and rows.dtype == np.float32
    return rows if fits else None
