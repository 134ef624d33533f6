"""YAMNet's weights from its TFLite file, read without TensorFlow.

The file is quantised: most weights are int8 with a scale a channel, or one for all. They come
out as the float32 values that they stand for. What lies before the first convolution, the
front-end with its rounded mel matrix, is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgeaudio.errors import WeightsFileError
from edgeaudio.types import F32
from edgeaudio_export.weights.importers import layouts
from edgeaudio_export.weights.importers.common import (
    Arrays,
    Shape,
    check_shapes,
    check_values,
    float32,
    package,
    read_bytes,
    reading,
)

_KIND = "a TFLite model of YAMNet"
_MAX_BYTES = 50_000_000
_MAX_OPERATORS = 10_000
_MAX_DIMENSIONS = 4


def read(path: Path) -> Arrays:
    """The arrays of `layouts.YAMNET`. Raises WeightsFileError, MissingExtraError without tflite."""
    tflite = package("tflite", "export")
    with reading(path, _KIND):
        data = read_bytes(path, _MAX_BYTES)
        if data[4:8] != b"TFL3":
            raise WeightsFileError(f"{path} is no TFLite file; it begins with {data[:8]!r}.")
        model = tflite.Model.GetRootAs(data, 0)
        if model.SubgraphsLength() != 1:
            raise WeightsFileError(
                f"{path} holds {model.SubgraphsLength()} graphs, and YAMNet is one."
            )
        graph = model.Subgraphs(0)
        names = list(dict.fromkeys(name.rpartition(".")[0] for name in layouts.YAMNET))
        layers = list(_layers(model, graph, tflite, limit=len(names) + 1))
        kinds = [kind for kind, _ in layers]
        if kinds != [_kind_of(name) for name in names]:
            raise WeightsFileError(
                f"{path} is no YAMNet: after its front-end it has {', '.join(kinds) or 'nothing'}."
            )
        arrays: Arrays = {}
        for name, (kind, operator) in zip(names, layers, strict=True):
            for position, role in enumerate(("weight", "bias"), 1):
                key = f"{name}.{role}"
                tensor = _tensor(graph, operator, position)
                shape = _shape_of(tensor)
                order = _order(kind if role == "weight" else "", len(shape))
                # Before it is read: many tensors may share one large buffer.
                there = tuple(shape[k] for k in order)
                check_shapes({key: there}, {key: layouts.YAMNET[key]}, path)
                arrays[key] = float32(_values(model, tensor, tflite).transpose(order))
    return check_values(arrays, path)


def _kind_of(name: str) -> str:
    if name == "scores":
        return "dense"
    return "depthwise" if name.endswith("depthwise") else "convolution"


def _layers(model: Any, graph: Any, tflite: Any, limit: int) -> Iterator[tuple[str, Any]]:
    """Operators with weights, in order, from the first convolution on; at most `limit`."""
    codes = tflite.BuiltinOperator
    kinds = {
        codes.CONV_2D: "convolution",
        codes.DEPTHWISE_CONV_2D: "depthwise",
        codes.FULLY_CONNECTED: "dense",
    }
    found = 0
    for k in range(min(graph.OperatorsLength(), _MAX_OPERATORS)):
        operator = graph.Operators(k)
        code = model.OperatorCodes(operator.OpcodeIndex())
        # The first is a byte, which later operators did not fit into.
        kind = kinds.get(max(code.DeprecatedBuiltinCode(), code.BuiltinCode()))
        if kind is None or (kind == "dense" and found == 0):  # the mel matrix is dense, too
            continue
        found += 1
        if found > limit:
            return
        yield kind, operator


def _order(kind: str, dimensions: int) -> tuple[int, ...]:
    """Of axes: TFLite has (out, height, width, in), and (1, height, width, channel) depthwise."""
    orders = {"convolution": (0, 3, 1, 2), "depthwise": (3, 0, 1, 2)}
    return orders[kind] if dimensions == 4 and kind in orders else tuple(range(dimensions))


def _tensor(graph: Any, operator: Any, position: int) -> Any:
    """What an operator takes at `position`; nothing of it is read yet."""
    if operator.InputsLength() <= position:
        raise ValueError("an operator lacks its weights")
    index = operator.Inputs(position)
    if not 0 <= index < graph.TensorsLength():
        raise ValueError(f"an operator takes tensor {index}, which there is not")
    return graph.Tensors(index)


def _shape_of(tensor: Any) -> Shape:
    if tensor.ShapeLength() > _MAX_DIMENSIONS:
        raise ValueError(f"a tensor has {tensor.ShapeLength()} dimensions")
    return tuple(int(tensor.Shape(k)) for k in range(tensor.ShapeLength()))


def _values(model: Any, tensor: Any, tflite: Any) -> F32:
    """A constant as float32. Read it only once its shape is known to be right."""
    shape = _shape_of(tensor)
    if not 0 <= tensor.Buffer() < model.BuffersLength():
        raise ValueError(f"a tensor lies in buffer {tensor.Buffer()}, which there is not")
    buffer = model.Buffers(tensor.Buffer())
    if buffer.DataLength() == 0:
        raise ValueError("an operator's weights are no constant")
    raw = buffer.DataAsNumpy()
    types = tflite.TensorType
    if tensor.Type() == types.INT8:
        return _dequantised(raw.view(np.int8), shape, tensor.Quantization())
    widths = {types.FLOAT32: "<f4", types.FLOAT16: "<f2"}
    if tensor.Type() not in widths:
        raise ValueError(f"an operator's weights have the type {tensor.Type()}")
    return float32(_shaped(raw.view(widths[tensor.Type()]), shape))


def _dequantised(values: Any, shape: Shape, quantisation: Any) -> F32:
    """(value - zero point) * scale, with one of each, or one a slice along an axis."""
    if quantisation is None or quantisation.ScaleLength() == 0:
        raise ValueError("int8 weights come without a scale")
    scale = quantisation.ScaleAsNumpy().astype(np.float32)
    zero = np.zeros(len(scale), np.int64)
    if quantisation.ZeroPointLength():
        zero = quantisation.ZeroPointAsNumpy().astype(np.int64)
    along = [1] * len(shape)
    if len(scale) > 1:
        axis = quantisation.QuantizedDimension()
        if not 0 <= axis < len(shape) or len(scale) != shape[axis] or len(zero) != len(scale):
            raise ValueError(f"{len(scale)} scales do not fit int8 weights of shape {shape}")
        along[axis] = -1
    steps = _shaped(values, shape).astype(np.int64) - zero.reshape(along)
    return float32(steps.astype(np.float32) * scale.reshape(along))


def _shaped(values: Any, shape: Shape) -> Any:
    if min(shape, default=1) < 0:
        raise ValueError(f"a tensor has the shape {shape}")
    return values.reshape(shape)
