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
from edgeaudio.errors import AudioFileError, EdgeAudioError
from edgeaudio.files import write_atomic
from edgeaudio.types import F32
from edgeaudio_export.datasets.recordings import Dataset, Skipped, check_not_empty
from edgeaudio_export.embed import WindowEmbedder, spec_of
from edgeaudio_export.engines import Engine
from edgeaudio_export.extractors import Extractor, get_extractor
from edgeaudio_export.home import cache
from edgeaudio_export.weights.store import make_folder

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
    dataset: Dataset,
    digests: Sequence[str],
    extractor: Extractor,
    hop: float | None,
    engine: Engine,
    progress: Progress,
) -> tuple[list[F32 | None], list[Skipped]]:
    """Embeddings of each recording, None where it can't be used, and why not. hop: in seconds."""
    spec = spec_of(extractor, hop)
    settings = [extractor.id, extractor.digest, spec.hop, resampler_name()]
    files = [_kept(digest, settings) for digest in digests]
    found = [_read(path, extractor.dimensions) for path in files]
    missing = [i for i, rows in enumerate(found) if rows is None]
    skipped: list[Skipped] = []
    done = len(found) - len(missing)
    progress(done, len(found))
    work = [(dataset.recordings[i].path.absolute(), files[i]) for i in missing]
    arguments = (extractor.id, extractor.digest, hop)
    errors = engine.run(_Embedder, arguments, work) if work else ()
    for i, error in zip(missing, errors, strict=True):
        done += 1
        progress(done, len(found))
        found[i] = None if error else _read(files[i], extractor.dimensions)
        if not error and found[i] is None:
            raise EdgeAudioError(
                f"Embeddings were written to {files[i]}, and are not there; on a cluster all "
                "machines must share the folder that EDGEAUDIO_HOME names."
            )
        if error:
            recording = dataset.recordings[i]
            skipped.append(Skipped(recording.path, recording.label, error, recording.split))
    return found, skipped


class _Embedder:
    """Writes the embeddings of a recording to a file; gives why not, or nothing."""

    def __init__(self, id: str, digest: str, hop: float | None) -> None:
        extractor = get_extractor(id)
        if extractor.digest != digest:
            raise EdgeAudioError(f"Another machine has other weights of {id} than this one.")
        self._embedder = WindowEmbedder(extractor, spec_of(extractor, hop))

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
    return cache("windows", key[:2], f"{key}.npy")


def _read(path: Path, dimensions: int) -> F32 | None:
    if not path.is_file():
        return None
    try:
        rows: F32 = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = rows.ndim == 2 and rows.shape[1] == dimensions and len(rows) and rows.dtype == np.float32
    return rows if fits else None
