"""`logmel-stats`: statistics of a log-mel spectrogram. Needs no weights; our baseline.

Conventions, all at 16 kHz, for a window of 16,000 samples:

- The log-mel spectrogram of `logmel.py`: frames of 400 samples (25 ms) every 160 (10 ms): 98
  frames; spectrum of 1024 points, so that the lowest mel band is wider than the distance between
  two bins; 128 bands.
- Delta: slope of a straight line fitted to 9 neighbouring frames, where all 9 exist (90).
- Embedding [512]: mean of each band, its standard deviation, mean of its delta, standard
  deviation of its delta (over time, population form), 128 values each, in dB and dB per frame.
"""

from __future__ import annotations

import hashlib

import numpy as np
from onnx import TensorProto

from edgeaudio.types import F32, F64
from edgeaudio_export.frontends.logmel import FLOOR_POWER, LogMel
from edgeaudio_export.graphs import GraphBuilder

SAMPLE_RATE = 16_000
WINDOW = 16_000
FRAME = 400
STEP = 160
FFT = 1024
BANDS = 128
DELTA_REACH = 4  # frames on either side
DIMENSIONS = 4 * BANDS
LOG_MEL = LogMel(SAMPLE_RATE, WINDOW, FRAME, STEP, FFT, BANDS)
VERSION = 1


def reference(windows: F32) -> F32:
    """The same in numpy: float32 [N, 16000] in [-1, 1] -> float32 [N, 512]."""
    log_mel = LOG_MEL.reference(windows)
    delta = np.einsum("ntb,td->ndb", log_mel, delta_matrix())
    parts = [part(v, axis=1) for v in (log_mel, delta) for part in (np.mean, np.std)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def add_embedding(b: GraphBuilder, log_mel: str) -> str:
    """In a graph: the spectrogram, float64 [N, 98, 128] -> float32 [N, 512]."""
    delta = b.add("MatMul", b.constant(delta_matrix().T.copy()), log_mel)
    parts = [part for value in (log_mel, delta) for part in _add_mean_and_deviation(b, value)]
    statistics = b.add("Concat", *parts, axis=2)
    return b.add("Cast", b.add("Squeeze", statistics, b.constant([1])), to=TensorProto.FLOAT)


def digest() -> str:
    """SHA-256 of what defines the embedding. Computed tables may differ in their last bit
    between processors, so it is taken over the numbers that they are computed from, and over
    `VERSION`, which changes with the formulas.
    """
    definition = (SAMPLE_RATE, WINDOW, FRAME, STEP, FFT, BANDS, DELTA_REACH, FLOOR_POWER)
    return hashlib.sha256(f"logmel-stats {VERSION} {definition}".encode()).hexdigest()


def delta_matrix() -> F64:
    """[98, 90]: column d holds the weights of the slope over frames d .. d + 8."""
    reach = np.arange(-DELTA_REACH, DELTA_REACH + 1)
    weights = reach / np.square(reach).sum()
    matrix = np.zeros((LOG_MEL.frames, LOG_MEL.frames - 2 * DELTA_REACH))
    for column in range(matrix.shape[1]):
        matrix[column : column + len(weights), column] = weights
    return matrix


def _add_mean_and_deviation(b: GraphBuilder, value: str) -> tuple[str, str]:
    """Over time, [N, 1, bands] each."""
    mean = b.add("ReduceMean", value, axes=[1], keepdims=1)
    centred = b.add("Sub", value, mean)
    variance = b.add("ReduceMean", b.add("Mul", centred, centred), axes=[1], keepdims=1)
    return mean, b.add("Sqrt", variance)
