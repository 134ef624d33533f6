"""A network at work in ONNX Runtime: windows to embeddings."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import numpy as np

# Before the import: some builds of ONNX Runtime would otherwise write usage data into the home
# folder and send it. What a machine sounds like, and that it is being listened to, stays here.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

from edgeaudio import wire
from edgeaudio.spectrogram import Spectrogram, SpectrogramSpec
from edgeaudio.types import F32, F64

BATCH = 4
"""Windows that may go through a network together, where several are waiting."""


class Network:
    """Windows to embeddings: the part of a graph that makes `embedding`, at work.

    Each window goes through on its own, or together with others where this machine computes the
    same bits for them: an embedding never depends on what else was there, nor offline differs
    from live. Threads may share it; one is served at a time.
    """

    def __init__(self, session: Any, spectrogram: Spectrogram | None, window: int, d: int) -> None:
        self._session = session
        self._spectrogram = spectrogram
        self._input = spectrogram.spec.tensor if spectrogram else "pcm"
        self._batches: bool | None = None  # not tried yet
        self._lock = threading.Lock()
        self.window = window
        self.dimensions = d

    @property
    def tensors(self) -> tuple[Any, ...]:
        """Inputs and outputs of the session."""
        return (*self._session.get_inputs(), *self._session.get_outputs())

    def embed(self, windows: F32) -> F32:
        """Embeddings float32 [N, D] of `windows` float32 [N, window] in [-1, 1].

        Raises ValueError for another shape.
        """
        windows = matrix(windows, self.window, "windows")
        out = np.empty((len(windows), self.dimensions), np.float32)
        with self._lock:
            step = BATCH if len(windows) >= BATCH and self._may_batch() else 1
            whole = len(windows) - len(windows) % step
            for at in range(0, whole, step):
                out[at : at + step] = self._together(windows[at : at + step])
            for at in range(whole, len(windows)):
                out[at] = self._together(windows[at : at + 1])[0]
        return out

    def front_end(self, window: F32) -> F32 | F64:
        """What the session takes, of one window float32 [1, window]; holds until the next call.

        Not for threads at the same time, as `embed` is.
        """
        return self._spectrogram(window[0]) if self._spectrogram else window

    def infer(self, values: F32 | F64) -> F32:
        """Embeddings [N, D] of what `front_end` gives."""
        found: F32 = self._session.run(["embedding"], {self._input: values})[0]
        return found

    def _together(self, windows: F32) -> F32:
        if len(windows) == 1:
            return self.infer(self.front_end(windows))
        parts = [self.front_end(windows[i : i + 1]).copy() for i in range(len(windows))]
        together: Any = np.concatenate(parts)
        return self.infer(together)

    def _may_batch(self) -> bool:
        """Whether windows may go through together, and gain by it; found out once, on noise."""
        if self._batches is None:
            rng = np.random.default_rng(0)
            levels = np.array([[0.3], [0.1], [0.01], [0.001]])
            noise = (levels * rng.standard_normal((BATCH, self.window))).astype(np.float32)
            try:
                self._batches = self._gains(noise)
            except Exception:  # ONNX Runtime's own: the graph takes one window alone
                self._batches = False
        return self._batches

    def _gains(self, windows: F32) -> bool:
        self._together(windows)  # the first time takes longer
        start = time.perf_counter()
        together = self._together(windows)
        half = time.perf_counter()
        alone = [self._together(windows[i : i + 1])[0] for i in range(len(windows))]
        faster = half - start < time.perf_counter() - half
        return faster and np.array_equal(together, alone)


def open_network(
    graph: bytes,
    front_end: SpectrogramSpec | None,
    window: int,
    dimensions: int,
    *,
    threads: int = 1,
) -> Network:
    """The part of a serialised graph `pcm` -> `embedding` that runs in ONNX Runtime.

    Where `front_end` says how the graph makes its spectrogram, numpy makes it instead, and nodes
    before it are left out; so is a head. Raises ValueError.
    """
    if front_end is None:
        part = wire.part(graph, {"pcm": ("float32", [window])}, ["embedding"])
        return Network(open_session(part, threads=threads), None, window, dimensions)
    if front_end.window != window:
        raise ValueError(f"its front-end takes {front_end.window} samples, its windows {window}")
    kind = (front_end.dtype, [front_end.frames, front_end.bands])
    spectrogram = Spectrogram(front_end)
    part = wire.part(graph, {front_end.tensor: kind}, ["embedding"])
    return Network(open_session(part, threads=threads), spectrogram, window, dimensions)


def open_session(source: bytes, *, threads: int = 1) -> Any:
    """An ONNX Runtime session as a small device wants it: one thread that sleeps when idle.

    source: the serialised graph, which must be complete: data in other files is not looked for.
    Raises ValueError if ONNX Runtime refuses it.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Working memory is kept between windows: taken anew for each, it costs OpenL3 in int8 half as
    # much time as its arithmetic, for 4 MB less. A plan of it would take 5 MB more.
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", "/nonexistent"
    )
    try:
        session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a dozen classes without a common root
        raise ValueError(f"its graph can't be run here ({first_line(error)})") from None
    if hasattr(session, "_model_bytes"):
        session._model_bytes = None  # kept for a fallback that we do not use; a network is large
    return session


def first_line(error: Exception) -> str:
    """What an error of ONNX Runtime says, in short."""
    return str(error).split("\n")[0][:200].rstrip(".")


def matrix(array: Any, width: int, name: str) -> F32:
    """As float32 [N, width]. Raises ValueError, with the name, for another shape."""
    found: F32 = np.ascontiguousarray(array, dtype=np.float32)
    if found.ndim != 2 or found.shape[1] != width:
        raise ValueError(f"{name} must have the shape [N, {width}], not {list(found.shape)}")
    return found
