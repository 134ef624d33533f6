"""Which nodes of a network can compute in int8, and what belongs to each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeaudio_export.quantise.graph import Graph, attributes

OPERATORS = ("Conv", "Gemm", "MatMul")
MOVES = ("MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze")
"""They move values or choose among them, so that they work on the integers as they are."""


@dataclass(frozen=True)
class Layer:
    """A convolution or dense layer with constant float32 weights.

    name: of its weights, for reports. node: as in the graph. weight: channels first,
    [out, ...]; bias: [out]; both float64. output: the tensor behind the activation that int8
    includes (ReLU, or a Clip from 0), if there is one. first: no other layer comes before it.
    """

    name: str
    node: onnx.NodeProto
    weight: NDArray[Any]
    bias: NDArray[Any]
    output: str
    activation: onnx.NodeProto | None
    first: bool

    @property
    def operator(self) -> str:
        """As ONNX calls it, with a note where each channel is convolved on its own."""
        return "Conv, depthwise" if self.is_depthwise else str(self.node.op_type)

    @property
    def is_depthwise(self) -> bool:
        """Whether it convolves each channel on its own."""
        return bool(attributes(self.node).get("group", 1) > 1 and self.weight.shape[1] == 1)

    @property
    def key(self) -> str:
        """The tensor that its node gives, by which layers are told apart."""
        return str(self.node.output[0])

    @property
    def input(self) -> str:
        """The tensor that it reads."""
        return str(self.node.input[0])

    @property
    def ceiling(self) -> float | None:
        """Where the activation clips, if it does."""
        return self._ceiling

    _ceiling: float | None = None


def find(graph: Graph) -> tuple[Layer, ...]:
    """The layers of `graph` that read float32 computed from its input, in its order."""
    behind: set[str] = set()
    found = []
    for node in graph.nodes:
        after_layer = not behind.isdisjoint(node.input)
        if _is_layer(graph, node):
            found.append(_layer(graph, node, first=not after_layer))
            after_layer = True
        if after_layer:
            behind.update(node.output)
    return tuple(found)


def channel_axis(layer: Layer) -> int:
    """The axis of the layer's output that its channels lie on; -1 counts from the end."""
    return 1 if layer.node.op_type == "Conv" else -1


def _is_layer(graph: Graph, node: onnx.NodeProto) -> bool:
    if node.op_type not in OPERATORS or not graph.is_activation(node.input[0]):
        return False
    values = [graph.constants.get(name) for name in node.input[1:] if name]
    if any(value is None or value.dtype != np.float32 for value in values):
        return False
    if node.op_type == "Conv":
        return True
    weight = graph.constants[node.input[1]]
    if node.op_type == "MatMul":
        return bool(weight.ndim == 2)
    found = attributes(node)
    plain = found.get("alpha", 1.0) == 1.0 and found.get("beta", 1.0) == 1.0
    bias = graph.constants[node.input[2]] if len(node.input) > 2 else np.zeros(1)
    outputs = weight.shape[0 if found.get("transB", 0) else 1]
    return plain and not found.get("transA", 0) and bias.size in (1, outputs)


def _layer(graph: Graph, node: onnx.NodeProto, *, first: bool) -> Layer:
    weight = graph.constants[node.input[1]].astype(np.float64)
    if node.op_type == "MatMul" or (node.op_type == "Gemm" and not attributes(node).get("transB")):
        weight = weight.T
    has_bias = len(node.input) > 2 and node.input[2]
    bias = graph.constants[node.input[2]].astype(np.float64) if has_bias else np.zeros(1)
    activation, ceiling = _activation(graph, node.output[0])
    output = activation.output[0] if activation is not None else node.output[0]
    return Layer(
        name=node.input[1].partition(".weight")[0],
        node=node,
        weight=weight,
        bias=np.broadcast_to(bias.reshape(-1), (len(weight),)),
        output=output,
        activation=activation,
        first=first,
        _ceiling=ceiling,
    )


def _activation(graph: Graph, tensor: str) -> tuple[onnx.NodeProto | None, float | None]:
    """The ReLU or Clip from 0 behind a layer, and where it clips."""
    node = graph.only_reader(tensor)
    if node is None:
        return None, None
    if node.op_type == "Relu":
        return node, None
    if node.op_type == "Clip" and len(node.input) == 3:
        low, high = (graph.constants.get(name) for name in node.input[1:])
        if low is not None and low == 0 and high is not None and high > 0:
            return node, float(high)
    return None, None
