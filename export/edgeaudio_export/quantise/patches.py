"""A convolution of few values, as a product of its weights and a matrix of patches.

ONNX Runtime on x86-64 computes a float convolution in blocks of channels, and puts its output
back in order afterwards; where there are 9 products for a value, that takes most of the time:
OpenL3's first convolution takes 14 ms so, and 4 ms so.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from edgeaudio_export.quantise.exact import Grid
from edgeaudio_export.quantise.graph import attributes
from edgeaudio_export.quantise.layers import Layer

_MOST_VALUES = 32
_STRIP = 1 << 20  # bytes of float32

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Product:
    """Nodes and constants in place of a convolution."""

    nodes: list[onnx.NodeProto]
    constants: dict[str, NDArray[Any]]


def as_product(
    layer: Layer,
    grid: Grid,
    source: str,
    shape: Shape,
    output: str,
    scale: tuple[str, str] | None = None,
) -> Product | None:
    """`layer` on `source`, [N, *shape[1:]]; None if it has many values, or is of another kind.

    The bias is a column of weights for a plane of ones, so that one pass does all. scale: names
    of step and zero of the output in uint8. Then it is computed in strips of rows, as memory of
    the size of the whole output in float32 would be asked of the system for every window.
    """
    found = attributes(layer.node)
    rows, columns = shape[2:] if len(shape) == 4 else (None, None)
    plain = found.get("group", 1) == 1 and set(found.get("dilations", [1])) == {1}
    if layer.node.op_type != "Conv" or not plain or rows is None or columns is None:
        return None
    if layer.weight[0].size > _MOST_VALUES:
        return None
    strides = list(found.get("strides", [1, 1]))
    kernel = layer.weight.shape[2:]
    pads = _pads(found, (rows, columns), kernel, strides)
    if pads is None:
        return None
    sizes = [
        (size + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1
        for i, size in enumerate((rows, columns))
    ]
    weight = np.concatenate([grid.weight.reshape(len(grid.weight), -1), grid.bias[:, None]], axis=1)
    patches = _Patches(output)
    planes = patches.add_planes(source, kernel, strides, pads, sizes)
    patches.add_product(planes, _ordered(weight, layer.weight.shape[1]), sizes, scale)
    return Product(patches.nodes, patches.constants)


def _pads(
    found: dict[str, Any], sizes: tuple[int, int], kernel: tuple[int, ...], strides: list[int]
) -> list[int] | None:
    """Rows and columns of zeros before, then behind; None if it can't be told."""
    mode = found.get("auto_pad", b"NOTSET")
    if mode in (b"NOTSET", b"VALID"):
        return list(found.get("pads", [0] * 4)) if mode == b"NOTSET" else [0] * 4
    if mode != b"SAME_UPPER":
        return None
    needed = [
        max((-(-size // s) - 1) * s + k - size, 0)
        for size, k, s in zip(sizes, kernel, strides, strict=True)
    ]
    return [n // 2 for n in needed] + [n - n // 2 for n in needed]


def _ordered(weight: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Weights [out, values + 1] by channel and place, sorted as patches are: by place first."""
    last = weight.shape[1] - 1
    order = np.arange(last).reshape(channels, -1).T.reshape(-1)
    return np.ascontiguousarray(weight[:, [*order, last]])


class _Patches:
    """Nodes and constants, named after the output."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def add_planes(
        self,
        source: str,
        kernel: tuple[int, ...],
        strides: list[int],
        pads: list[int],
        sizes: list[int],
    ) -> str:
        """[N, values + 1, *sizes]: what each place of the kernel sees, and ones."""
        padded = self._add("Pad", source, self._constant([0, 0, *pads[:2], 0, 0, *pads[2:]]))
        axes, steps = self._constant([2, 3]), self._constant(strides)
        parts = []
        for start in np.ndindex(*kernel):
            spans = zip(start, sizes, strides, strict=True)
            ends = self._constant([at + (size - 1) * step + 1 for at, size, step in spans])
            parts.append(self._add("Slice", padded, self._constant([*start]), ends, axes, steps))
        one, bounds = self._constant(np.float32(1)), [self._constant([i]) for i in (0, 1, 1)]
        ones = self._add("Clip", self._add("Slice", parts[0], *bounds), one, one)
        return self._add("Concat", *parts, ones, axis=1)

    def add_product(
        self,
        planes: str,
        weight: NDArray[np.float32],
        sizes: list[int],
        scale: tuple[str, str] | None,
    ) -> None:
        """The output, [N, out, *sizes]."""
        matrix, (rows, columns) = self._constant(weight), sizes
        strips = -(-rows * columns * weight.nbytes // weight.shape[1] // _STRIP) if scale else 1
        limits = [rows * i // strips for i in range(strips + 1)]
        flat, axis = self._constant([0, weight.shape[1], -1]), self._constant([2])
        parts = []
        for low, high in pairwise(limits):
            strip = planes
            if strips > 1:
                strip = self._add(
                    "Slice", planes, self._constant([low]), self._constant([high]), axis
                )
            found = self._add("MatMul", matrix, self._add("Reshape", strip, flat))
            if scale:
                found = self._add("QuantizeLinear", found, *scale)
            shape = self._constant([0, len(weight), high - low, columns])
            parts.append(self._add("Reshape", found, shape))
        if strips > 1:
            self._add("Concat", *parts, axis=2)
        self.nodes[-1].output[0] = self.output

    def _add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{self.output}.{operator.lower()}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def _constant(self, value: Any) -> str:
        name = f"{self.output}.constant.{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name
