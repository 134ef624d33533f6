"""Layers that the networks share. Activations are [N, channels, rows, columns]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.types import F32, F64
from edgeaudio_export.graphs import GraphBuilder

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class BatchNorm:
    """y = x * scale + shift, both float64 [channels], from the four arrays of a batch norm."""

    scale: F64
    shift: F64

    @classmethod
    def of(cls, epsilon: float, gamma: F32, beta: F32, mean: F32, variance: F32) -> BatchNorm:
        """At inference. epsilon: 1e-3 in Keras, 1e-5 in torch."""
        scale = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + epsilon)
        return cls(scale, beta - mean * scale)


def add_convolution(
    b: GraphBuilder,
    x: str,
    name: str,
    kernel: NDArray[Any],
    bias: NDArray[Any],
    norm: BatchNorm | None = None,
    **attributes: Any,
) -> str:
    """Convolution; `kernel` as ONNX has it [out, in / groups, rows, columns].

    A batch norm behind it is folded into kernel and bias, in float64.
    """
    weight, offset = kernel.astype(np.float64), bias.astype(np.float64)
    if norm:
        weight = weight * norm.scale[:, None, None, None]
        offset = offset * norm.scale + norm.shift
    constants = (
        b.constant(value.astype(np.float32), f"{name}.{part}")
        for part, value in (("weight", weight), ("bias", offset))
    )
    return b.add("Conv", x, *constants, kernel_shape=list(kernel.shape[2:]), **attributes)


def add_dense(b: GraphBuilder, x: str, name: str, weight: NDArray[Any], bias: NDArray[Any]) -> str:
    """Fully connected; `weight` [out, in], x [N, in]."""
    values = [b.constant(weight, f"{name}.weight"), b.constant(bias, f"{name}.bias")]
    return b.add("Gemm", x, *values, transB=1)


def add_pool(b: GraphBuilder, x: str, rows: int = 2, columns: int = 2) -> str:
    """Maximum over blocks; what is left over at the ends is dropped."""
    return b.add("MaxPool", x, kernel_shape=[rows, columns], strides=[rows, columns])


def add_channel(b: GraphBuilder, x: str) -> str:
    """[N, rows, columns] -> [N, 1, rows, columns]."""
    return b.add("Unsqueeze", x, b.constant([1]))
