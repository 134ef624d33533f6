"""Small made-up networks, drawn from a seed, and windows for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeaudio_export.graphs import GraphBuilder

FRAMES, BANDS = 24, 16


def windows(count: int = 24, seed: int = 0) -> list[NDArray[Any]]:
    """Spectrograms float32 [1, 24, 16] that differ: smooth, at several levels, with bursts."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        tilt = np.linspace(0, rng.uniform(-30, 30), BANDS)
        burst = 20 * np.exp(-(((np.arange(FRAMES) - rng.uniform(0, FRAMES)) / 3) ** 2))[:, None]
        values = rng.uniform(-70, -20) + tilt + burst + 5 * rng.standard_normal((FRAMES, BANDS))
        found.append(values[None].astype(np.float32))
    return found


class Drawn:
    """A builder of layers with weights from a seed."""

    def __init__(self, seed: int = 1) -> None:
        self.b = GraphBuilder()
        self.rng = np.random.default_rng(seed)
        self._count = 0

    def start(self) -> str:
        """The spectrogram as one channel, near [-1, 1]."""
        x = self.b.add("Unsqueeze", "spectrogram", self.b.constant([1]))
        return self.b.add("Mul", x, self.b.constant(np.float32(1 / 64)))

    def convolve(self, x: str, inputs: int, outputs: int, size: int = 3, **attributes: Any) -> str:
        self._count += 1
        name = f"conv{self._count}"
        per_group = inputs // attributes.get("group", 1)
        weight = self.rng.standard_normal((outputs, per_group, size, size))
        weight *= np.sqrt(2 / (per_group * size * size))
        bias = 0.1 * self.rng.standard_normal(outputs)
        names = [
            self.b.constant(value.astype(np.float32), f"{name}.{part}")
            for part, value in (("weight", weight), ("bias", bias))
        ]
        attributes.setdefault("pads", [size // 2] * 4)
        return self.b.add("Conv", x, *names, kernel_shape=[size, size], **attributes)

    def relu(self, x: str) -> str:
        return self.b.add("Relu", x)

    def normalise(self, x: str, channels: int) -> str:
        values = (
            self.rng.uniform(0.5, 2, channels),
            self.rng.standard_normal(channels) * 0.1,
            self.rng.standard_normal(channels) * 0.1,
            self.rng.uniform(0.5, 2, channels),
        )
        names = [self.b.constant(v.astype(np.float32)) for v in values]
        return self.b.add("BatchNormalization", x, *names)

    def dense(self, x: str, inputs: int, outputs: int, name: str) -> str:
        weight = self.rng.standard_normal((outputs, inputs)) * np.sqrt(2 / inputs)
        names = [
            self.b.constant(weight.astype(np.float32), f"{name}.weight"),
            self.b.constant(np.full(outputs, 0.05, np.float32), f"{name}.bias"),
        ]
        return self.b.add("Gemm", x, *names, transB=1)

    def finish(self, x: str, dimensions: int) -> onnx.ModelProto:
        self.b.rename_last(x, "embedding")
        inputs = {"spectrogram": ["N", FRAMES, BANDS]}
        return self.b.model("drawn", inputs, {"embedding": ["N", dimensions]})


def plain() -> onnx.ModelProto:
    """Convolutions with maxima between, as OpenL3 has them."""
    d = Drawn()
    x = d.relu(d.convolve(d.start(), 1, 16))
    x = d.b.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = d.relu(d.convolve(x, 16, 32))
    x = d.convolve(x, 32, 32)
    x = d.b.add("MaxPool", x, kernel_shape=[12, 8], strides=[12, 8])
    x = d.b.add("Transpose", x, perm=[0, 2, 3, 1])
    return d.finish(d.b.add("Reshape", x, d.b.constant([0, 32])), 32)


def mobile() -> onnx.ModelProto:
    """Depthwise and pointwise convolutions with batch norms, and a mean, as YAMNet has them."""
    d = Drawn(2)
    x = d.relu(d.normalise(d.convolve(d.start(), 1, 16, strides=[2, 2]), 16))
    for inputs, outputs in ((16, 32), (32, 32)):
        x = d.relu(d.normalise(d.convolve(x, inputs, inputs, group=inputs), inputs))
        x = d.relu(d.normalise(d.convolve(x, inputs, outputs, size=1), outputs))
    return d.finish(d.b.add("ReduceMean", x, axes=[2, 3], keepdims=0), 32)


def mixed() -> onnx.ModelProto:
    """What foreign networks have: a residual sum, a row of channels, clips, sigmoids, dense."""
    d = Drawn(3)
    x = d.relu(d.convolve(d.start(), 1, 8))
    limits = [d.b.constant(np.float32(v)) for v in (0, 6)]
    y = d.b.add("Clip", d.convolve(x, 8, 8), *limits)
    x = d.relu(d.b.add("Add", x, d.convolve(y, 8, 8)))
    gate = d.b.add("Sigmoid", d.convolve(x, 8, 8))
    x = d.b.add("Mul", x, gate)
    x = d.b.add("Concat", d.relu(d.convolve(x, 8, 8)), d.convolve(x, 8, 24), axis=1)
    x = d.b.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = d.relu(d.convolve(x, 32, 16))
    x = d.b.add("Flatten", d.b.add("GlobalAveragePool", x))
    x = d.relu(d.dense(x, 16, 64, "hidden"))
    weight = (d.rng.standard_normal((64, 24)) / 8).astype(np.float32)
    x = d.b.add("MatMul", x, d.b.constant(weight, "last.weight"))
    return d.finish(d.b.add("Add", x, d.b.constant(np.full(24, 0.1, np.float32))), 24)


def ending_in_dense() -> onnx.ModelProto:
    """A dense layer with ReLU at the end, as VGGish has it."""
    d = Drawn(4)
    x = d.relu(d.convolve(d.start(), 1, 8))
    x = d.relu(d.convolve(x, 8, 16, strides=[2, 2]))
    x = d.b.add("Flatten", d.b.add("MaxPool", x, kernel_shape=[4, 4], strides=[4, 4]))
    return d.finish(d.relu(d.dense(x, 96, 48, "last")), 48)


def wide() -> onnx.ModelProto:
    """A dense layer of so many inputs that the grid on which its sums are exact is coarse."""
    d = Drawn(5)
    x = d.b.add("Flatten", d.relu(d.convolve(d.start(), 1, 16)))
    x = d.relu(d.dense(x, FRAMES * BANDS * 16, 32, "hidden"))
    return d.finish(d.dense(x, 32, 24, "last"), 24)
