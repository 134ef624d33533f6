"""`logmel-stats`: statistics of a log-mel spectrogram. Needs no weights; our baseline.

Conventions, all at 16 kHz, for a window of 16,000 samples:

- Frames of 400 samples (25 ms) every 160 (10 ms), no padding: 98 frames.
- Periodic Hann window; spectrum of 1024 points (zeros behind the frame), so that the lowest
  mel band is wider than the distance between two bins.
- Power, scaled so that a full-scale sine has 0 dB in its bin: levels are in dBFS.
- 128 triangles of peak 1 from 0 to 8000 Hz on Slaney's mel scale (linear to 1 kHz).
- 10 log10, floored at -100 dB.
- Delta: slope of a straight line fitted to 9 neighbouring frames, where all 9 exist (90).
- Embedding [512]: mean of each band, its standard deviation, mean of its delta, standard
  deviation of its delta (over time, population form), 128 values each, in dB and dB per frame.

The graph computes in float64 and returns float32. In float32 the cells 80 dB below a strong
tone are rounding noise; in float64 graph and reference agree to 1e-5 on any input.
"""

from __future__ import annotations

import hashlib

import numpy as np

from edgeaudio.types import F32, F64
from edgeaudio_export.frontends import spectra
from edgeaudio_export.graphs import GraphBuilder

SAMPLE_RATE = 16_000
WINDOW = 16_000
FRAME = 400
STEP = 160
FFT = 1024
BANDS = 128
DELTA_REACH = 4  # frames on either side
FLOOR_POWER = 1e-10  # -100 dB
DIMENSIONS = 4 * BANDS
FRAMES = spectra.frame_count(WINDOW, FRAME, STEP)
VERSION = 1


def reference(windows: F32) -> F32:
    """The same in numpy: float32 [N, 16000] in [-1, 1] -> float32 [N, 512]."""
    frames = spectra.frames_of(np.asarray(windows, np.float64), FRAME, STEP)
    power = spectra.power(frames, _window(), FFT)
    log_mel = 10 * np.log10(np.maximum(power @ mel_matrix(), FLOOR_POWER))
    delta = np.einsum("ntb,td->ndb", log_mel, delta_matrix())
    parts = [part(v, axis=1) for v in (log_mel, delta) for part in (np.mean, np.std)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def add_embedding(b: GraphBuilder, pcm: str) -> str:
    """In a graph: `pcm` [N, 16000] -> float32 [N, 512]."""
    samples = spectra.add_double(b, pcm)
    beyond = (FRAMES - 1) * STEP + FFT - WINDOW  # the last frame's zeros
    samples = b.add("Pad", samples, b.constant([0, 0, 0, beyond]))
    power = spectra.add_power(b, samples, FRAMES, STEP, _window(), FFT)
    mel = b.add("MatMul", power, b.constant(mel_matrix(), "frontend.mel"))
    floored = b.add("Max", mel, b.constant(np.float64(FLOOR_POWER)))
    log_mel = b.add("Mul", b.add("Log", floored), b.constant(np.float64(10 / np.log(10))))
    delta = b.add("MatMul", b.constant(delta_matrix().T.copy()), log_mel)
    parts = [part for value in (log_mel, delta) for part in _add_mean_and_deviation(b, value)]
    statistics = b.add("Concat", *parts, axis=2)
    return spectra.add_float(b, b.add("Squeeze", statistics, b.constant([1])))


def digest() -> str:
    """SHA-256 of what defines the embedding. Computed tables may differ in their last bit
    between processors, so it is taken over the numbers that they are computed from, and over
    `VERSION`, which changes with the formulas.
    """
    definition = (SAMPLE_RATE, WINDOW, FRAME, STEP, FFT, BANDS, DELTA_REACH, FLOOR_POWER)
    return hashlib.sha256(f"logmel-stats {VERSION} {definition}".encode()).hexdigest()


def mel_matrix() -> F64:
    """Triangular filters of peak 1, [513, 128], Slaney's scale, 0 to 8000 Hz."""
    ends = (0.0, SAMPLE_RATE / 2)
    edges = spectra.mel_edges(*ends, BANDS, spectra.slaney, spectra.slaney_to_hz)
    return spectra.triangles(edges, spectra.bin_frequencies(SAMPLE_RATE, FFT))


def delta_matrix() -> F64:
    """[98, 90]: column d holds the weights of the slope over frames d .. d + 8."""
    reach = np.arange(-DELTA_REACH, DELTA_REACH + 1)
    weights = reach / np.square(reach).sum()
    matrix = np.zeros((FRAMES, FRAMES - 2 * DELTA_REACH))
    for column in range(matrix.shape[1]):
        matrix[column : column + len(weights), column] = weights
    return matrix


def _window() -> F64:
    """Hann, scaled so that a full-scale sine has power 1 in its bin."""
    window = spectra.hann(FRAME)
    return np.asarray(window / (window.sum() / 2))


def _add_mean_and_deviation(b: GraphBuilder, value: str) -> tuple[str, str]:
    """Over time, [N, 1, bands] each."""
    mean = b.add("ReduceMean", value, axes=[1], keepdims=1)
    centred = b.add("Sub", value, mean)
    variance = b.add("ReduceMean", b.add("Mul", centred, centred), axes=[1], keepdims=1)
    return mean, b.add("Sqrt", variance)
