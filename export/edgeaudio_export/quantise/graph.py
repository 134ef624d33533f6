"""A float32 network as the quantiser reads it: nodes, constants, who makes and who reads what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OUTPUT = "embedding"
_NOTHING_DONE = ("Identity", "Dropout")


@dataclass(frozen=True)
class Graph:
    """The parts of a model. constants: by name. types: ONNX element types of tensors, by name.

    shapes: where known; None for an axis that is not. makers: the node that makes a tensor.
    readers: the nodes that read it, in order.
    """

    model: onnx.ModelProto
    nodes: tuple[onnx.NodeProto, ...]
    constants: dict[str, NDArray[Any]]
    types: dict[str, int]
    shapes: dict[str, tuple[int | None, ...]]
    makers: dict[str, onnx.NodeProto]
    readers: dict[str, tuple[onnx.NodeProto, ...]]

    def rank(self, tensor: str) -> int | None:
        """How many axes `tensor` has, if that is known."""
        return len(self.shapes[tensor]) if tensor in self.shapes else None

    @property
    def input(self) -> str:
        """Name of the one input."""
        return str(self.model.graph.input[0].name)

    def only_reader(self, tensor: str) -> onnx.NodeProto | None:
        """The one node that reads `tensor`, if it is one and nobody else sees the tensor."""
        readers = self.readers.get(tensor, ())
        return readers[0] if len(readers) == 1 and tensor != OUTPUT else None

    def is_activation(self, tensor: str) -> bool:
        """Whether `tensor` is float32 and computed from the input."""
        return tensor not in self.constants and self.types.get(tensor) == TensorProto.FLOAT


def read(model: onnx.ModelProto) -> Graph:
    """`model` with its constants in one place, and with nodes left out that do nothing."""
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    nodes, aliases = [], dict[str, str]()
    outputs = {o.name for o in model.graph.output}
    for source in model.graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(source)
        node.input[:] = [aliases.get(name, name) for name in node.input]
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type in _NOTHING_DONE and not outputs.intersection(node.output):
            aliases[node.output[0]] = node.input[0]
        else:
            nodes.append(node)
    return of(model, nodes, constants)


def of(
    model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto], constants: dict[str, NDArray[Any]]
) -> Graph:
    """A graph of these nodes and constants, with the inputs and outputs of `model`."""
    kept = tuple(nodes)
    makers = {name: node for node in kept for name in node.output}
    readers: dict[str, tuple[onnx.NodeProto, ...]] = {}
    for node in kept:
        for name in dict.fromkeys(node.input):
            readers[name] = (*readers.get(name, ()), node)
    built = build(model, kept, constants)
    inferred = onnx.shape_inference.infer_shapes(built, data_prop=True).graph
    values = (*inferred.input, *inferred.output, *inferred.value_info)
    types = {v.name: v.type.tensor_type.elem_type for v in values}
    known = [v for v in values if v.type.tensor_type.HasField("shape")]
    shapes = {
        v.name: tuple(d.dim_value or None for d in v.type.tensor_type.shape.dim) for v in known
    }
    return Graph(built, kept, constants, types, shapes, makers, readers)


def build(
    model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto], constants: dict[str, NDArray[Any]]
) -> onnx.ModelProto:
    """A model with the inputs, outputs and versions of `model`; unread constants are left out."""
    kept = list(nodes)
    read_names = {name for node in kept for name in node.input}
    graph = helper.make_graph(
        kept,
        model.graph.name,
        [*model.graph.input],
        [*model.graph.output],
        [numpy_helper.from_array(v, n) for n, v in constants.items() if n in read_names],
    )
    return helper.make_model(
        graph, opset_imports=[*model.opset_import], ir_version=model.ir_version
    )


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of `node` as Python values."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def scalar_or_channels(value: NDArray[Any], channels: int, rank: int) -> NDArray[Any] | None:
    """`value` as [channels] if it acts so on axis 1 of a tensor of `rank`, else None."""
    if value.size == 1:
        return np.full(channels, value.reshape(-1)[0])
    shape = (1,) * (rank - value.ndim) + value.shape
    wanted = (1, channels) + (1,) * (rank - 2)
    return value.reshape(-1) if shape == wanted else None
