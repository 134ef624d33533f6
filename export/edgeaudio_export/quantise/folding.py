"""What follows a convolution channel by channel is folded into it, in float64.

Whatever is left beside a layer for ONNX Runtime to fold would be folded in float32 when the file
is loaded, into weights that were put on a grid; so nothing is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from edgeaudio_export.quantise import graph as graphs
from edgeaudio_export.quantise.graph import Graph

Affine = tuple[NDArray[Any], NDArray[Any]]
"""Scale and shift, float64 [channels]."""

_BATCH_NORM_EPSILON = 1e-5


def fold(graph: Graph) -> Graph:
    """The same network with batch norms and constant factors and summands folded.

    A batch norm that follows no convolution becomes a product and a sum, each rounded once, so
    that no processor computes both in one step. A matrix product with a bias becomes Gemm.
    """
    constants = dict(graph.constants)
    nodes: list[onnx.NodeProto] = []
    layers: dict[str, onnx.NodeProto] = {}
    for node in graph.nodes:
        layer = layers.get(_data_input(node, constants) or "")
        if layer is not None and _takes(graph, layer, node, constants):
            _absorb(layer, node, constants)
            layers[layer.output[0]] = layer
        elif node.op_type == "BatchNormalization":
            nodes += _as_product_and_sum(graph, node, constants)
        else:
            nodes.append(node)
            if node.op_type in ("Conv", "MatMul"):
                layers[node.output[0]] = node
    return graphs.of(graph.model, nodes, constants)


def _data_input(node: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> str | None:
    """The one input of `node` that is no constant."""
    inputs = [name for name in node.input if name and name not in constants]
    return inputs[0] if len(inputs) == 1 else None


def _takes(
    graph: Graph,
    layer: onnx.NodeProto,
    node: onnx.NodeProto,
    constants: dict[str, NDArray[Any]],
) -> bool:
    """Whether `node` can be folded into `layer` before it."""
    if graph.only_reader(layer.output[0]) is not node:
        return False
    if layer.op_type == "Conv":
        return _weights_known(layer, constants) and _affine(layer, node, constants) is not None
    if layer.op_type == "MatMul" and node.op_type == "Add":
        weight = constants.get(layer.input[1])
        bias = next(constants[n] for n in node.input if n in constants)
        return (
            weight is not None
            and weight.ndim == 2
            and graph.rank(layer.input[0]) == 2
            and bias.size in (1, weight.shape[1])
        )
    return False


def _weights_known(layer: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> bool:
    return all(name in constants for name in layer.input[1:] if name)


def _affine(
    layer: onnx.NodeProto, node: onnx.NodeProto, constants: dict[str, NDArray[Any]]
) -> Affine | None:
    """What `node` does to each channel of a convolution, if that is all it does."""
    weight = constants[layer.input[1]]
    channels = len(weight)
    if node.op_type == "BatchNormalization":
        return _batch_norm(node, constants) if _weights_known(node, constants) else None
    if node.op_type not in ("Mul", "Add", "Sub", "Div"):
        return None
    at = next(i for i, name in enumerate(node.input) if name in constants)
    if at == 0 and node.op_type in ("Sub", "Div"):
        return None
    value = graphs.scalar_or_channels(constants[node.input[at]], channels, weight.ndim)
    if value is None:
        return None
    value, one, zero = value.astype(np.float64), np.ones(channels), np.zeros(channels)
    return {
        "Mul": (value, zero),
        "Div": (one / value, zero),
        "Add": (one, value),
        "Sub": (one, -value),
    }[node.op_type]


def _batch_norm(node: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> Affine:
    gamma, beta, mean, variance = (constants[n].astype(np.float64) for n in node.input[1:5])
    epsilon = graphs.attributes(node).get("epsilon", _BATCH_NORM_EPSILON)
    scale = gamma / np.sqrt(variance + epsilon)
    return scale, beta - mean * scale


def _absorb(
    layer: onnx.NodeProto, node: onnx.NodeProto, constants: dict[str, NDArray[Any]]
) -> None:
    """Let `layer` give what `node` gave."""
    if layer.op_type == "MatMul":
        bias = next(constants[n] for n in node.input if n in constants)
        width = constants[layer.input[1]].shape[1]
        constants[f"{layer.output[0]}.bias"] = np.broadcast_to(bias.reshape(-1), (width,)).copy()
        layer.op_type = "Gemm"
        layer.input.append(f"{layer.output[0]}.bias")
    else:
        affine = _affine(layer, node, constants)
        assert affine is not None
        _scale(layer, affine, constants)
    layer.output[0] = node.output[0]


def _scale(layer: onnx.NodeProto, affine: Affine, constants: dict[str, NDArray[Any]]) -> None:
    scale, shift = affine
    weight = constants[layer.input[1]].astype(np.float64)
    has_bias = len(layer.input) > 2 and layer.input[2]
    bias = constants[layer.input[2]].astype(np.float64) if has_bias else np.zeros(len(weight))
    name = layer.input[1].partition(".weight")[0]
    names = [f"{name}.{part}.folded.{layer.output[0]}" for part in ("weight", "bias")]
    weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    constants[names[0]] = weight.astype(np.float32)
    constants[names[1]] = (bias * scale + shift).astype(np.float32)
    layer.input[1:] = names


def _as_product_and_sum(
    graph: Graph, node: onnx.NodeProto, constants: dict[str, NDArray[Any]]
) -> list[onnx.NodeProto]:
    rank = graph.rank(node.input[0])
    if rank is None or not _weights_known(node, constants):
        return [node]
    output = node.output[0]
    scale, shift, scaled = (f"{output}.{part}" for part in ("scale", "shift", "scaled"))
    for name, value in zip((scale, shift), _batch_norm(node, constants), strict=True):
        constants[name] = value.astype(np.float32).reshape(-1, *[1] * (rank - 2))
    return [
        helper.make_node("Mul", [node.input[0], scale], [scaled]),
        helper.make_node("Add", [scaled, shift], [output]),
    ]
