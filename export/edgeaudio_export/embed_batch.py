"""Many recordings to embedding files: in several processes, and each only once.

What was computed is kept under `EDGEAUDIO_HOME`, by the digest of the recording and of all that
shapes the result, so that a second run, or the same recording under another name, costs nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from edgeaudio.audio.file import SUFFIXES
from edgeaudio.errors import AudioFileError, DataError, EdgeAudioError
from edgeaudio.files import write_atomic
from edgeaudio_export.datasets.recordings import file_digest
from edgeaudio_export.embed_files import Device, FileEmbedder, Resampler
from edgeaudio_export.extractors import get_extractor
from edgeaudio_export.versions import versions
from edgeaudio_export.weights.store import weights_home

_PROCESS_BYTES = 300_000_000  # Python, ONNX Runtime's workspace, a recording
_COPIES = 4  # of the weights: arrays, graph, its bytes, and what ONNX Runtime makes of them


@dataclass(frozen=True)
class Request:
    """How to embed; see `FileEmbedder`.

    options: of the extractor, by group. weights: official files to use, else what is imported.
    """

    extractor: str
    options: Mapping[str, str] = field(default_factory=dict)
    weights: tuple[Path, ...] = ()
    hop: float | None = None
    center: bool | None = None
    resampler: Resampler = "soxr"
    device: Device = "cpu"
    threads: int = 1


@dataclass(frozen=True)
class Job:
    """One recording, and the file that its embeddings go to."""

    recording: Path
    output: Path


@dataclass(frozen=True)
class Done:
    """What became of a job. error: why there is no output. cached: nothing was computed."""

    job: Job
    windows: int = 0
    dimensions: int = 0
    cached: bool = False
    error: str = ""


def plan(inputs: Sequence[Path], output: Path) -> list[Job]:
    """A job for each recording: `output` itself for a single file, else a file below it.

    Folders are searched for WAV, FLAC, OGG and MP3, and keep their shape below `output`.
    Raises DataError if there is nothing to do, or two recordings would share an output.
    """
    if len(inputs) == 1 and not inputs[0].is_dir():
        return [Job(inputs[0], output)]
    jobs = []
    for path in inputs:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            jobs += [Job(p, _below(output, p.relative_to(path))) for p in found]
        else:
            jobs.append(Job(path, _below(output, Path(path.name))))
    if not jobs:
        raise DataError(f"{', '.join(map(str, inputs))}: no WAV, FLAC, OGG or MP3 below.")
    taken: dict[Path, Path] = {}
    for job in jobs:
        other = taken.setdefault(job.output, job.recording)
        if other != job.recording:
            raise DataError(f"{other} and {job.recording} would both be written to {job.output}.")
    return jobs


def embed_all(
    jobs: Sequence[Job],
    request: Request,
    *,
    processes: int = 0,
    overwrite: bool = False,
    cache: bool = True,
) -> Iterator[Done]:
    """Work through `jobs`, in order. processes: 0 for as many as make sense.

    A recording that can't be read is reported, and does not stop the rest.
    Raises EdgeAudioError for an extractor that can't be had.
    """
    worker = _Worker(request, overwrite, cache)  # here first, so that errors come out as such
    count = min(processes or worker.most_at_once(), len(jobs))
    if count <= 1 or request.device == "cuda":
        yield from map(worker.do, jobs)
        return
    del worker
    with ProcessPoolExecutor(
        count, get_context("spawn"), initializer=_start, initargs=(request, overwrite, cache)
    ) as pool:
        yield from pool.map(_work, jobs)


def _memory_available() -> int:
    """Bytes; what Linux says can be had without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class _Worker:
    """Embeds, or finds what was embedded before."""

    def __init__(self, request: Request, overwrite: bool, cache: bool) -> None:
        extractor = get_extractor(request.extractor, files=request.weights, options=request.options)
        self._embedder = FileEmbedder(
            extractor,
            hop=request.hop,
            center=request.center,
            resampler=request.resampler,
            device=request.device,
            threads=request.threads,
        )
        self._overwrite = overwrite
        self._cache = cache
        self._settings = {
            "extractor": extractor.id,
            "extractor_digest": extractor.digest,
            "sample_rate": extractor.sample_rate,
            "window": extractor.window,
            "hop": self._embedder.hop,
            "center": self._embedder.center,
            "whole_file": self._embedder.whole_file,
            "resampler": self._embedder.resampler_name,
            "device": request.device,
            "versions": versions("soundfile"),
        }

    def most_at_once(self) -> int:
        """How many processes make sense: one a core, as far as the memory goes."""
        cores = len(os.sched_getaffinity(0))
        each = _PROCESS_BYTES + _COPIES * self._embedder.graph_bytes
        return max(1, min(cores, _memory_available() // each))

    def do(self, job: Job) -> Done:
        try:
            digest = _digest(job.recording)
            key = hashlib.sha256(json.dumps([digest, self._settings]).encode()).hexdigest()
            kept = weights_home().parent / "cache" / "embeddings" / key[:2] / f"{key}.npz"
            cached = self._cache and kept.is_file()
            data = kept.read_bytes() if cached else self._compute(job.recording, digest)
            if self._cache and not cached:
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(kept, data, overwrite=True)
            job.output.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(job.output, data, overwrite=self._overwrite)
        except EdgeAudioError as error:
            return Done(job, error=str(error))
        except OSError as error:
            return Done(job, error=f"{error.filename or job.output}: {error.strerror}.")
        with np.load(io.BytesIO(data)) as arrays:
            windows, dimensions = arrays["embedding"].shape
        return Done(job, windows, dimensions, cached)

    def _compute(self, recording: Path, digest: str) -> bytes:
        found = self._embedder.embed(recording)
        info = self._settings | {"recording_sha256": digest}
        memory = io.BytesIO()
        np.savez(
            memory,
            embedding=found.embedding,
            timestamps=found.timestamps,
            info=np.array(json.dumps(info, ensure_ascii=False)),
        )
        return memory.getvalue()


def _digest(recording: Path) -> str:
    try:
        return file_digest(recording)
    except DataError:
        raise AudioFileError(f"There is no file {recording} that can be read.") from None


def _below(output: Path, name: Path) -> Path:
    return output / name.with_name(f"{name.name}.npz")


_worker: _Worker | None = None


def _start(request: Request, overwrite: bool, cache: bool) -> None:
    global _worker
    _worker = _Worker(request, overwrite, cache)


def _work(job: Job) -> Done:
    assert _worker is not None
    return _worker.do(job)
