"""What a graph costs: values in it, and multiplications for a window."""

from __future__ import annotations

import math

import onnx
from onnx import TensorProto

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)


def parameters(model: onnx.ModelProto) -> int:
    """Floating-point constants, tables of the front-end included."""
    constants = (t for t in model.graph.initializer if t.data_type in _FLOATS)
    return sum(math.prod(t.dims) for t in constants)


def gigamacs(model: onnx.ModelProto) -> float:
    """Multiplications in convolutions and matrix products for one window, in 1e9.

    Not counted: recurrent layers, loops, and what has no known shape.
    """
    one = onnx.ModelProto()
    one.CopyFrom(model)
    for value in (*one.graph.input, *one.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(one, data_prop=True).graph
    shapes = {t.name: list(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        shapes[value.name] = [d.dim_value for d in value.type.tensor_type.shape.dim]
    return sum(_multiplications(node, shapes) for node in graph.node) / 1e9


def _multiplications(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> int:
    if node.op_type not in ("Conv", "MatMul", "Gemm"):
        return 0
    if any(name not in shapes for name in (*node.input[:2], node.output[0])):
        return 0
    if node.op_type == "Conv":
        return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
