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
import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeaudio.types import F32, F64
from edgeaudio_export.graphs import IR_VERSION, OPSET

SAMPLE_RATE = 16_000
WINDOW = 16_000
FRAME = 400
STEP = 160
FFT = 1024
BANDS = 128
DELTA_REACH = 4  # frames on either side
FLOOR_POWER = 1e-10  # -100 dB
DIMENSIONS = 4 * BANDS
FRAMES = 1 + (WINDOW - FRAME) // STEP

VERSION = 1

_SLANEY_LINEAR_HZ = 200 / 3  # Hz a mel, up to the knee
_SLANEY_KNEE_HZ = 1000.0
_SLANEY_LOG = (6.4, 27)  # above the knee, 27 mels make a factor of 6.4
_SLANEY_LOG_STEP = math.log(_SLANEY_LOG[0]) / _SLANEY_LOG[1]


def reference(windows: F32) -> F32:
    """The same in numpy: float32 [N, 16000] in [-1, 1] -> float32 [N, 512]."""
    x = np.asarray(windows, np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(x, FRAME, axis=1)[:, ::STEP]
    spectrum = np.fft.rfft(frames * hann(), FFT)
    power = np.square(np.abs(spectrum)) / _full_scale_power()
    log_mel = 10 * np.log10(np.maximum(power @ mel_matrix(), FLOOR_POWER))
    delta = np.einsum("ntb,td->ndb", log_mel, delta_matrix())
    parts = [part(v, axis=1) for v in (log_mel, delta) for part in (np.mean, np.std)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def graph() -> onnx.ModelProto:
    """ONNX: `pcm` float32 [N, 16000] -> `embedding` float32 [N, 512]."""
    nodes = [*_power_nodes(), *_log_mel_nodes(), *_statistics_nodes()]
    inputs = [helper.make_tensor_value_info("pcm", TensorProto.FLOAT, ["N", WINDOW])]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", DIMENSIONS])]
    constants = [numpy_helper.from_array(v, k) for k, v in _constants().items()]
    body = helper.make_graph(nodes, "logmel-stats", inputs, outputs, constants)
    model = helper.make_model(
        body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def digest() -> str:
    """SHA-256 of what defines the embedding. Computed tables may differ in their last bit
    between processors, so it is taken over the numbers that they are computed from, and over
    `VERSION`, which changes with the formulas.
    """
    definition = (SAMPLE_RATE, WINDOW, FRAME, STEP, FFT, BANDS, DELTA_REACH, FLOOR_POWER)
    mel = (_SLANEY_LINEAR_HZ, _SLANEY_KNEE_HZ, *_SLANEY_LOG)
    return hashlib.sha256(f"logmel-stats {VERSION} {definition} {mel}".encode()).hexdigest()


def hann() -> F64:
    """Periodic Hann window [400]. Its first value is 0 and the rest is symmetric about 200."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)


def mel_matrix() -> F64:
    """Triangular filters of peak 1, [513, 128], Slaney's scale, 0 to 8000 Hz."""
    edges = _mel_to_hz(np.linspace(0, _hz_to_mel(SAMPLE_RATE / 2), BANDS + 2))
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    bins = np.arange(FFT // 2 + 1)[:, None] * (SAMPLE_RATE / FFT)
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return np.maximum(0.0, np.minimum(rising, falling))


def delta_matrix() -> F64:
    """[98, 90]: column d holds the weights of the slope over frames d .. d + 8."""
    reach = np.arange(-DELTA_REACH, DELTA_REACH + 1)
    weights = reach / np.square(reach).sum()
    matrix = np.zeros((FRAMES, FRAMES - 2 * DELTA_REACH))
    for column in range(matrix.shape[1]):
        matrix[column : column + len(weights), column] = weights
    return matrix


def _full_scale_power() -> float:
    return float(np.square(hann().sum() / 2))


def _hz_to_mel(hz: float) -> float:
    if hz < _SLANEY_KNEE_HZ:
        return hz / _SLANEY_LINEAR_HZ
    return float(
        _SLANEY_KNEE_HZ / _SLANEY_LINEAR_HZ + np.log(hz / _SLANEY_KNEE_HZ) / _SLANEY_LOG_STEP
    )


def _mel_to_hz(mel: F64) -> F64:
    knee = _SLANEY_KNEE_HZ / _SLANEY_LINEAR_HZ
    above = _SLANEY_KNEE_HZ * np.exp((mel - knee) * _SLANEY_LOG_STEP)
    return np.where(mel < knee, mel * _SLANEY_LINEAR_HZ, above)


# The power spectrum as two small matrix products. Without its first value (0), the windowed
# frame is symmetric about sample 200 but for the signal itself; the signal's even part meets
# the cosines only and its odd part the sines only, which halves the arithmetic and the file.
# Seen from sample 200, the phase is another one; the power is the same.


def _constants() -> dict[str, np.ndarray]:
    half = FRAME // 2
    starts = np.arange(FRAMES)[:, None] * STEP + half
    reach = np.arange(half)
    angle = 2 * np.pi * np.outer(reach, np.arange(FFT // 2 + 1)) / FFT
    window = hann()[half:, None] / np.sqrt(_full_scale_power())
    once = np.where(reach == 0, 0.5, 1.0)[:, None]  # sample 200 is its own mirror image
    return {
        "frontend.after": starts + reach,
        "frontend.before": starts - reach,
        "frontend.cosine": np.cos(angle) * window * once,
        "frontend.sine": np.sin(angle) * window,
        "frontend.mel": mel_matrix(),
        "frontend.floor": np.array(FLOOR_POWER),
        "frontend.decibel": np.array(10 / np.log(10)),
        "frontend.delta": delta_matrix().T.copy(),
        "frontend.axis": np.array([1]),
    }


def _power_nodes() -> list[onnx.NodeProto]:
    node = helper.make_node
    return [
        node("Cast", ["pcm"], ["x"], to=TensorProto.DOUBLE),
        node("Gather", ["x", "frontend.after"], ["after"], axis=1),
        node("Gather", ["x", "frontend.before"], ["before"], axis=1),
        node("Add", ["after", "before"], ["even"]),
        node("Sub", ["after", "before"], ["odd"]),
        node("MatMul", ["even", "frontend.cosine"], ["real"]),
        node("MatMul", ["odd", "frontend.sine"], ["imaginary"]),
        node("Mul", ["real", "real"], ["real2"]),
        node("Mul", ["imaginary", "imaginary"], ["imaginary2"]),
        node("Add", ["real2", "imaginary2"], ["power"]),
    ]


def _log_mel_nodes() -> list[onnx.NodeProto]:
    node = helper.make_node
    return [
        node("MatMul", ["power", "frontend.mel"], ["mel"]),
        node("Max", ["mel", "frontend.floor"], ["floored"]),
        node("Log", ["floored"], ["ln"]),
        node("Mul", ["ln", "frontend.decibel"], ["log_mel"]),
        node("MatMul", ["frontend.delta", "log_mel"], ["delta"]),
    ]


def _statistics_nodes() -> list[onnx.NodeProto]:
    node = helper.make_node
    nodes = []
    for name in ("log_mel", "delta"):
        nodes += [
            node("ReduceMean", [name], [f"{name}.mean"], axes=[1], keepdims=1),
            node("Sub", [name, f"{name}.mean"], [f"{name}.centred"]),
            node("Mul", [f"{name}.centred", f"{name}.centred"], [f"{name}.squares"]),
            node("ReduceMean", [f"{name}.squares"], [f"{name}.variance"], axes=[1], keepdims=1),
            node("Sqrt", [f"{name}.variance"], [f"{name}.std"]),
        ]
    parts = ["log_mel.mean", "log_mel.std", "delta.mean", "delta.std"]
    return [
        *nodes,
        node("Concat", parts, ["statistics"], axis=2),
        node("Squeeze", ["statistics", "frontend.axis"], ["statistics2"]),
        node("Cast", ["statistics2"], ["embedding"], to=TensorProto.FLOAT),
    ]
