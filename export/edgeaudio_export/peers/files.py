"""A recording to its embeddings as the peers compute them, for research and comparison.

Unlike training and listening, which cut windows as a device does, this follows each peer:
OpenL3 may centre its windows (half a window of zeros in front) and covers the end; Kumar sees
the whole file at once; and resampy 0.2 may stand in for the device's resampler.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from onnx import TensorProto

from edgeaudio.audio.file import FileSource
from edgeaudio.audio.resample import MonoResampler, resampler_name
from edgeaudio.errors import EdgeAudioError
from edgeaudio.network import open_session
from edgeaudio.types import F32, F64
from edgeaudio_export.extractors import Columns, Extractor
from edgeaudio_export.peers.resampy import resample

Resampler = Literal["soxr", "resampy"]
Device = Literal["cpu", "cuda"]
RESAMPY_NAME = "resampy 0.2 kaiser_best"

_CUDA_BATCH = 16
_CHUNK_COLUMNS = 64
_SAME_STEP = 0.0005  # seconds; a step of so many frames is a number that nobody writes in full


@dataclass(frozen=True, slots=True)
class FileEmbedding:
    """embedding: float32 [T, D]. timestamps: seconds [T], of the windows' centres where they
    are centred as OpenL3 does, else of their starts.
    """

    embedding: F32
    timestamps: F64


class FileEmbedder:
    """An extractor at work on whole recordings.

    hop: seconds between windows; None: half a window. Where the peer has its own step through a
    whole file, that is the default, and what a hop within half a millisecond of it stands for.
    center: None: as the peer's default. threads: of ONNX Runtime.
    Raises EdgeAudioError for what the extractor does not have.
    """

    def __init__(
        self,
        extractor: Extractor,
        *,
        hop: float | None = None,
        center: bool | None = None,
        resampler: Resampler = "soxr",
        device: Device = "cpu",
        threads: int = 1,
    ) -> None:
        if center and not extractor.centred:
            raise EdgeAudioError(f"{extractor.id} has no centred windows; leave out --center.")
        self.extractor = extractor
        self.center = extractor.centred if center is None else center
        if hop is not None and not (math.isfinite(hop) and hop * extractor.sample_rate >= 1):
            raise EdgeAudioError(
                f"A hop of {hop} s can't be used; give at least {1 / extractor.sample_rate:.2g}."
            )
        self.hop = extractor.hop / extractor.sample_rate if hop is None else hop
        # Truncated, as OpenL3 does; its timestamps are multiples of the hop all the same.
        self.hop_samples = extractor.hop if hop is None else int(hop * extractor.sample_rate)
        self.resampler: Resampler = resampler
        own_step = abs(self.hop - extractor.hop / extractor.sample_rate) < _SAME_STEP
        self._columns = extractor.columns if own_step else None
        if self._columns:
            self.hop_samples = extractor.hop
            self.hop = extractor.hop / extractor.sample_rate
        graph = self._columns.graph() if self._columns else extractor.graph(TensorProto.DOUBLE)
        data = graph.SerializeToString()
        self.graph_bytes = len(data)
        self._session = _open(data, device, threads)
        self._batch = _CUDA_BATCH if device == "cuda" else 1

    @property
    def whole_file(self) -> bool:
        """Whether a file is seen at once, not window by window."""
        return self._columns is not None

    @property
    def resampler_name(self) -> str:
        """The resampler, with its version."""
        return resampler_name() if self.resampler == "soxr" else RESAMPY_NAME

    def embed(self, path: Path) -> FileEmbedding:
        """Embed one recording. Raises AudioFileError if it can't be read."""
        samples = load_mono(path, self.extractor.sample_rate, self.resampler)
        if self._columns:
            return self._whole(samples, self._columns)
        windows, parts = self._windows(samples), []
        while batch := list(islice(windows, self._batch)):
            parts.append(self._session.run(["embedding"], {"pcm": np.stack(batch)})[0])
        embedding = np.concatenate(parts)
        return FileEmbedding(embedding, np.arange(len(embedding), dtype=np.float64) * self.hop)

    def _windows(self, samples: F32 | F64) -> Iterator[F64]:
        window, hop = self.extractor.window, self.hop_samples
        lead = window // 2 if self.center else 0  # zeros in front
        beyond = max(0, lead + len(samples) - window)
        # OpenL3 covers the last sample; the others drop an incomplete last window.
        count = 1 + (-(-beyond // hop) if self.extractor.centred else beyond // hop)
        for start in range(0, count * hop, hop):
            piece = np.zeros(window)
            found = samples[max(0, start - lead) : max(0, start - lead + window)]
            before = max(0, lead - start)
            piece[before : before + len(found)] = found
            yield piece

    def _whole(self, samples: F32 | F64, columns: Columns) -> FileEmbedding:
        spectrogram = columns.spectrogram(samples.astype(np.float64))
        missing = 2 * columns.step - len(spectrogram)
        if missing > 0:  # the peer appends rows of 0 dB
            spectrogram = np.pad(spectrogram, ((0, missing), (0, 0)))
        count = len(spectrogram) // columns.step - 1
        parts = []
        for first in range(0, count, _CHUNK_COLUMNS):
            last = min(first + _CHUNK_COLUMNS, count)
            begin = max(0, first * columns.step - columns.margin)
            end = (last + 1) * columns.step + columns.margin
            feed = {"spectrogram": spectrogram[None, begin : end if last < count else None]}
            found = self._session.run(["columns"], feed)[0][0].T
            skipped = first - begin // columns.step
            parts.append(found[skipped : skipped + last - first])
        starts = np.arange(count) * columns.step * columns.frame / self.extractor.sample_rate
        return FileEmbedding(np.concatenate(parts), starts)


class _DoubleSource(FileSource):
    """As a device reads files, but in float64."""

    dtype = "float64"


def load_mono(path: Path, sample_rate: int, resampler: Resampler) -> F32 | F64:
    """A recording [n] at `sample_rate`, the mean of its channels.

    soxr: through the very stream that a device resamples with, float32. Otherwise float64.
    Raises AudioFileError if it can't be read.
    """
    with FileSource(path) as source:
        if resampler == "soxr" and source.sample_rate != sample_rate:
            stream = MonoResampler(source.sample_rate, sample_rate)
            blocks = [stream.push(block).samples for block in source.blocks()]
            return np.concatenate([*blocks, stream.flush().samples])
    with _DoubleSource(path) as source:
        mono = [block.samples.mean(axis=1, dtype=np.float64) for block in source.blocks()]
        return resample(np.concatenate(mono), source.sample_rate, sample_rate)


def _open(graph: bytes, device: Device, threads: int) -> Any:
    if device == "cpu":
        return open_session(graph, threads=threads)
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise EdgeAudioError(
            "--device cuda needs ONNX Runtime's build for CUDA (pip install onnxruntime-gpu in "
            "place of onnxruntime), and a GPU; this one has: "
            + ", ".join(ort.get_available_providers())
            + "."
        )
    # TF32 would round the inputs of convolutions to ten bits.
    cuda = ("CUDAExecutionProvider", {"use_tf32": "0"})
    session = ort.InferenceSession(graph, providers=[cuda])
    if session.get_providers()[0] != cuda[0]:
        raise EdgeAudioError(
            "--device cuda: ONNX Runtime has its build for CUDA, but CUDA can't be used here "
            "(no GPU, or its libraries are missing); leave the option out."
        )
    return session
