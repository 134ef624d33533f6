"""Many recordings to embedding files: in several processes, and each only once.

What was computed is kept under `EDGEAUDIO_HOME`, by the digest of the recording and of all that
shapes the result, so that a second run, or the same recording under another name, costs nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeaudio.audio.file import SUFFIXES, FileSource
from edgeaudio.errors import AudioFileError, DataError, EdgeAudioError, OutputError
from edgeaudio.files import check_output, write_atomic
from edgeaudio_export.datasets.folders import files_below
from edgeaudio_export.datasets.recordings import file_digest
from edgeaudio_export.extractors import get_extractor
from edgeaudio_export.home import cache
from edgeaudio_export.peers.files import Device, FileEmbedder, Resampler
from edgeaudio_export.processes import cores, in_processes
from edgeaudio_export.versions import versions

_PROCESS_BYTES = 300_000_000  # Python, ONNX Runtime's workspace, a recording
_COPIES = 4  # of weights, sound and embeddings, at the worst moment


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


@dataclass(frozen=True)
class Job:
    """One recording, and the file that its embeddings go to."""

    recording: Path
    output: Path


@dataclass(frozen=True)
class Done:
    """What became of a job.

    error: why there is no output, and status what a command should end with. cached: nothing
    was computed.
    """

    job: Job
    windows: int = 0
    dimensions: int = 0
    cached: bool = False
    error: str = ""
    status: int = 0


def plan(inputs: Sequence[Path], output: Path) -> list[Job]:
    """A job for each recording: `output` itself for a single file, else a file below it.

    Folders are searched for WAV, FLAC, OGG and MP3 that are not hidden, and keep their shape
    below `output`. A recording that is named twice is one job.
    Raises DataError if there is nothing to do, or two recordings would share an output;
    OutputError if `output` is no .npz for a single file, or no folder for several.
    """
    if len(inputs) == 1 and not inputs[0].is_dir() and not output.is_dir():
        if output.suffix != ".npz":
            raise OutputError(f"{output} is no name of an .npz file, nor a folder that is there.")
        return [Job(inputs[0], output)]
    if output.exists() and not output.is_dir():
        raise OutputError(f"{output} is a file; for several recordings, give a folder.")
    jobs: dict[Path, Job] = {}
    for path in inputs:
        if path.is_dir():
            found = [p for p in files_below(path) if p.suffix.lower() in SUFFIXES]
            planned = [Job(p, _below(output, p.relative_to(path))) for p in found]
        else:
            planned = [Job(path, _below(output, Path(path.name)))]
        for job in planned:
            other = jobs.setdefault(job.output, job)
            if other.recording.absolute() != job.recording.absolute():
                raise DataError(
                    f"{other.recording} and {job.recording} would both be written to {job.output}."
                )
    if not jobs:
        raise DataError(f"{', '.join(map(str, inputs))}: no WAV, FLAC, OGG or MP3 below.")
    return list(jobs.values())


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
    Raises EdgeAudioError for an extractor that can't be had, and where a process is killed.
    """
    threads = cores() if len(jobs) == 1 else 1
    # Here first, so that errors come out as such.
    worker = _Worker(request, overwrite, cache, threads)
    count = min(processes or _most_at_once(worker, jobs), len(jobs))
    if count <= 1 or request.device == "cuda":
        yield from map(worker, jobs)
        return
    del worker
    yield from in_processes(count, _Worker, (request, overwrite, cache), jobs)


def _most_at_once(worker: _Worker, jobs: Sequence[Job]) -> int:
    """How many processes make sense: one a core, as far as the memory goes."""
    most = cores()
    if most == 1 or len(jobs) == 1:
        return 1
    longest = max(_seconds(job.recording) for job in jobs)
    return max(1, min(most, _memory_available() // worker.bytes_for(longest)))


def _seconds(recording: Path) -> float:
    """By its header; 0 where that can't be read, which is reported later."""
    try:
        with FileSource(recording) as source:
            return (source.frames or 0) / source.sample_rate
    except AudioFileError:
        return 0.0


def _memory_available() -> int:
    """Bytes; what Linux says can be had without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    found = (int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return next(found, _PROCESS_BYTES)


class _Worker:
    """Embeds, or finds what was embedded before."""

    def __init__(self, request: Request, overwrite: bool, cache: bool, threads: int = 1) -> None:
        extractor = get_extractor(request.extractor, files=request.weights, options=request.options)
        self._embedder = FileEmbedder(
            extractor,
            hop=request.hop,
            center=request.center,
            resampler=request.resampler,
            device=request.device,
            threads=threads,
        )
        self._overwrite = overwrite
        self._cache = cache
        self._settings = {
            "extractor": extractor.id,
            "extractor_digest": extractor.digest,
            "sample_rate": extractor.sample_rate,
            "window": extractor.window,
            "hop": self._embedder.hop,
            "hop_samples": self._embedder.hop_samples,
            "center": self._embedder.center,
            "whole_file": self._embedder.whole_file,
            "resampler": self._embedder.resampler_name,
            "device": request.device,
            "versions": versions("soundfile"),
        }

    def bytes_for(self, seconds: float) -> int:
        """Memory that one process takes for a recording of that length."""
        embedder = self._embedder
        sound = embedder.extractor.sample_rate * 8 * _COPIES
        rows = embedder.extractor.dimensions * 4 * _COPIES / embedder.hop
        return int(_PROCESS_BYTES + _COPIES * embedder.graph_bytes + seconds * (sound + rows))

    def __call__(self, job: Job) -> Done:
        try:
            info = self._settings | {"recording_sha256": _digest(job.recording)}
            data = self._made_before(job, info)
            cached = data is not None
            if data is None:
                data = self._compute(job.recording, info)
                self._keep(info, data)
            if _read_file(job.output) != data:
                job.output.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(job.output, data, overwrite=self._overwrite)
        except EdgeAudioError as error:
            return Done(job, error=str(error), status=error.exit_status)
        except OSError as error:
            return Done(job, error=f"{error.filename or job.output}: {error.strerror}.", status=2)
        except MemoryError:
            error_text = f"{job.recording} needs more memory than there is; cut it into pieces."
            return Done(job, error=error_text, status=1)
        return Done(job, *_shape(data), cached)

    def _made_before(self, job: Job, info: dict[str, Any]) -> bytes | None:
        """The very same, from the output (a batch that was stopped goes on) or the cache.

        Raises OutputExistsError where the output holds anything else and must not be replaced.
        """
        data = _read_kept(job.output, info)
        if data is None and os.path.lexists(job.output):
            check_output(job.output, overwrite=self._overwrite)
        if data is None and self._cache:
            data = _read_kept(_kept_file(info), info)
        return data if self._cache else None

    def _keep(self, info: dict[str, Any], data: bytes) -> None:
        if not self._cache:
            return
        try:
            path = _kept_file(info)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, data, overwrite=True)
        except (OSError, EdgeAudioError):  # a convenience, which a full disk may end
            self._cache = False

    def _compute(self, recording: Path, info: dict[str, Any]) -> bytes:
        found = self._embedder.embed(recording)
        memory = io.BytesIO()
        np.savez(
            memory,
            embedding=found.embedding,
            timestamps=found.timestamps,
            info=np.array(json.dumps(info, ensure_ascii=False)),
        )
        return memory.getvalue()


def _kept_file(info: dict[str, Any]) -> Path:
    key = hashlib.sha256(json.dumps(info).encode()).hexdigest()
    return cache("embeddings", key[:2], f"{key}.npz")


def _read_kept(path: Path, info: dict[str, Any]) -> bytes | None:
    """A file of embeddings that were made so; None if there is none, or it is damaged."""
    data = _read_file(path)
    try:
        with np.load(io.BytesIO(data or b""), allow_pickle=False) as arrays:
            same = json.loads(str(arrays["info"])) == info
            embedding, timestamps = arrays["embedding"], arrays["timestamps"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    whole = embedding.dtype == np.float32 and embedding.shape[:1] == timestamps.shape
    return data if same and whole else None


def _read_file(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError:
        return None


def _shape(data: bytes) -> tuple[int, int]:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        windows, dimensions = arrays["embedding"].shape
    return windows, dimensions


def _digest(recording: Path) -> str:
    with FileSource(recording):  # the same checks as everywhere: a pipe would be waited for
        pass
    try:
        return file_digest(recording)
    except DataError as error:
        raise AudioFileError(str(error)) from None


def _below(output: Path, name: Path) -> Path:
    return output / name.with_name(f"{name.name}.npz")
