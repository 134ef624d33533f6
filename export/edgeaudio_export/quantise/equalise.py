"""Channels of one tensor brought to like ranges, so that one scale serves them all.

A positive factor goes through ReLU and maxima: what a layer's output channels are divided by, the
next layer's input channels are multiplied by, and the network computes the same (Nagel et al.
2019, Data-free quantization, section 4.1). The weights have a step for each output channel, so
that this costs the first layer nothing, nor a second one that convolves each channel on its own:
there ranges are made equal. Elsewhere the second layer's weights would be rounded worse by what
the activations are rounded better by; factors are chosen so that both share it (Xiao et al. 2022,
SmoothQuant, with alpha = 1/2).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from edgeaudio.types import F64
from edgeaudio_export.quantise import graph as graphs
from edgeaudio_export.quantise.graph import Graph
from edgeaudio_export.quantise.layers import Layer

_LARGEST_FACTOR = 2.0**12


def pairs(graph: Graph, layers: tuple[Layer, ...]) -> list[tuple[Layer, Layer]]:
    """Convolutions where the second reads the first's channels, and nobody else does."""
    convolutions = {x.key: x for x in layers if x.node.op_type == "Conv"}
    found = []
    for layer in convolutions.values():
        node = graph.only_reader(layer.output)
        while node is not None and node.op_type == "MaxPool":
            node = graph.only_reader(node.output[0])
        after = convolutions.get(node.output[0]) if node is not None else None
        if after is not None and layer.ceiling is None:
            found.append((layer, after))
    return found


def equalise(
    graph: Graph, layers: tuple[Layer, ...], largest: Mapping[str, F64]
) -> onnx.ModelProto:
    """The same network with other factors between its channels.

    largest: magnitudes by channel, [out], of each layer's output, by its name.
    """
    constants = dict(graph.constants)
    nodes = {node.output[0]: node for node in map(_copy, graph.nodes)}
    outgoing = {x.key: np.ones(len(x.weight)) for x in layers}
    incoming: dict[str, F64] = {}
    for first, second in pairs(graph, layers):
        factors = _factors(first, second, largest[first.output])
        outgoing[first.key] = factors
        incoming[second.key] = factors
    for layer in layers:
        key = layer.key
        if layer.node.op_type == "Conv":
            weight = _scaled(layer, outgoing[key], incoming.get(key))
            names = [f"{layer.name}.weight.{key}", f"{layer.name}.bias.{key}"]
            constants[names[0]] = weight.astype(np.float32)
            constants[names[1]] = (layer.bias / outgoing[key]).astype(np.float32)
            nodes[key].input[1:] = names
    return graphs.build(graph.model, nodes.values(), constants)


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _factors(first: Layer, second: Layer, largest: F64) -> F64:
    """What to divide each channel between two layers by."""
    alive = largest > 0
    if not alive.any():
        return np.ones(len(largest))
    if second.is_depthwise:
        raw = largest
    else:
        taps = np.abs(_input_first(second, len(largest))).max(axis=1)
        alive &= taps > 0
        raw = np.sqrt(largest / np.where(alive, taps, 1))
    raw = np.where(alive, raw, np.nan)
    raw = raw / np.exp(np.nanmean(np.log(raw))) if alive.any() else raw
    return np.clip(np.nan_to_num(raw, nan=1.0), 1 / _LARGEST_FACTOR, _LARGEST_FACTOR)


def _input_first(layer: Layer, channels: int) -> F64:
    """Weights [in, ...] of a layer, whatever its groups."""
    per_group = layer.weight.shape[1]
    groups = channels // per_group
    split = layer.weight.reshape(groups, -1, per_group, *layer.weight.shape[2:])
    return np.moveaxis(split, 2, 1).reshape(channels, -1)


def _scaled(layer: Layer, outgoing: F64, incoming: F64 | None) -> F64:
    ones = [1] * (layer.weight.ndim - 2)
    weight = layer.weight / outgoing.reshape(-1, 1, *ones)
    if incoming is None:
        return weight
    per_group = layer.weight.shape[1]
    groups = len(incoming) // per_group
    by_group = incoming.reshape(groups, per_group)
    rows = by_group[np.arange(len(weight)) * groups // len(weight)]
    return np.asarray(weight * rows.reshape(*rows.shape, *ones))
