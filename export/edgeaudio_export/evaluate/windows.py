"""Embeddings of every window of a data set, computed once a recording and extractor.

What was computed lies under `EDGEAUDIO_HOME`, by the digest of the recording and of all that
shapes the result; a second run opens no recording. For the tasks it is put into one file, which
they map into memory.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgeaudio.audio.resample import resampler_name
from edgeaudio.errors import AudioFileError, EdgeAudioError
from edgeaudio.files import write_atomic
from edgeaudio.types import F32
from edgeaudio_export.datasets.recordings import Dataset, Skipped, check_not_empty, kept_digest
from edgeaudio_export.embed import Embedded, WindowEmbedder, spec_of
from edgeaudio_export.engines import Engine
from edgeaudio_export.extractors import Extractor, get_extractor
from edgeaudio_export.home import cache
from edgeaudio_export.versions import versions
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
) -> tuple[list[Path | None], list[Skipped]]:
    """Files with the embeddings of each recording, None where it can't be used, and why not.

    hop: in seconds. Raises EdgeAudioError where another machine's embeddings are not seen here.
    """
    spec = spec_of(extractor, hop)
    settings = [extractor.id, extractor.digest, spec.hop, resampler_name(), versions("soundfile")]
    files = [_kept(digest, settings) for digest in digests]
    found: list[Path | None] = [p if _count(p, extractor.dimensions) else None for p in files]
    missing = [i for i, path in enumerate(found) if path is None]
    skipped: list[Skipped] = []
    done = len(found) - len(missing)
    progress(done, len(found))
    work = [(dataset.recordings[i].path.absolute(), files[i]) for i in missing]
    arguments = (extractor.id, extractor.digest, hop)
    errors = engine.run(_Embedder, arguments, work) if work else ()
    for i, error in zip(missing, errors, strict=True):
        done += 1
        progress(done, len(found))
        if not error and not _count(files[i], extractor.dimensions):
            raise EdgeAudioError(
                f"Embeddings were written to {files[i]}, and are not there; on a cluster all "
                "machines must share the folder that EDGEAUDIO_HOME names."
            )
        found[i] = None if error else files[i]
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


def embedded(
    dataset: Dataset,
    extractor: Extractor,
    hop: float | None,
    engine: Engine,
    progress: Progress,
) -> Embedded:
    """A data set with its embeddings, as `embed.embed_dataset`, of what was kept before.

    hop: in seconds, half a window if None. Raises DataError if a class has nothing usable.
    """
    digests = tuple(kept_digest(r.path) for r in dataset.recordings)
    files, skipped = embed_windows(dataset, digests, extractor, hop, engine, progress)
    rows = tuple(np.load(file, allow_pickle=False) for file in files if file)
    return Embedded(without(dataset, skipped), rows)


def join(rows: Iterable[F32], counts: Sequence[int], dimensions: int, path: Path) -> Windows:
    """Write embeddings, one [windows, D] a recording, into one file for the tasks.

    counts: how many windows each has. Only one recording's are held in memory.
    """
    bounds = np.cumsum([0, *counts]).tolist()
    shape = (bounds[-1], dimensions)
    joined = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for begin, end, part in zip(bounds, bounds[1:], rows, strict=False):
        joined[begin:end] = part
    joined.flush()
    return Windows(path, tuple(bounds))


def join_files(files: Sequence[Path], dimensions: int, path: Path) -> Windows:
    """The same of the files that `embed_windows` names."""
    counts = [_count(file, dimensions) for file in files]
    return join((np.load(file, allow_pickle=False) for file in files), counts, dimensions, path)


def _kept(digest: str, settings: list[object]) -> Path:
    key = hashlib.sha256(json.dumps([digest, *settings]).encode()).hexdigest()
    return cache("windows", key[:2], f"{key}.npy")


def _count(path: Path, dimensions: int) -> int:
    """How many windows' embeddings lie in a file, by its head and its size; 0 unless whole."""
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            begin = file.tell()
        whole = path.stat().st_size == begin + 4 * math.prod(shape)
    except (OSError, ValueError, EOFError):
        return 0
    fits = len(shape) == 2 and shape[1] == dimensions and dtype == np.float32
    return shape[0] if fits and whole else 0
