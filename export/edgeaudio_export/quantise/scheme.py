"""What is decided about a network before it is written in int8: scales, and who computes how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx
from numpy.typing import NDArray

from edgeaudio_export.quantise.graph import OUTPUT, Graph
from edgeaudio_export.quantise.layers import MOVES, Layer
from edgeaudio_export.quantise.ranges import Range, Scale, scale_of
from edgeaudio_export.quantise.targets import Target


@dataclass(frozen=True)
class Channels:
    """How integers stand for values where each channel has a scale of its own.

    value = q * step + low; both float64 [channels].
    """

    step: NDArray[Any]
    low: NDArray[Any]


@dataclass(frozen=True)
class Scheme:
    """All that the writer needs beside the graph. Tensors are named by their roots.

    largest: of the inputs that are put on a grid. int8: the layers that compute so, by the
    tensor that their node gives, as in the others. biases: in place of a layer's own.
    channels: last layers.
    """

    target: Target
    scales: Mapping[str, Scale]
    largest: Mapping[str, float]
    int8: frozenset[str]
    biases: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    channels: Mapping[str, Channels] = field(default_factory=dict)


def root(graph: Graph, tensor: str) -> str:
    """The tensor that `tensor` consists of values of."""
    while (maker := graph.makers.get(tensor)) is not None and maker.op_type in MOVES:
        tensor = maker.input[0]
    return tensor


def is_wanted(graph: Graph, tensor: str, int8: frozenset[str]) -> bool:
    """Whether a layer in int8 reads `tensor`, or values of it, or a sum or row of such."""
    for node in graph.readers.get(tensor, ()):
        if node.output[0] in int8:
            return True
        if (node.op_type in MOVES or is_joint(graph, node)) and is_wanted(
            graph, joint_output(graph, node), int8
        ):
            return True
    return False


def only_wanted(graph: Graph, tensor: str, int8: frozenset[str]) -> bool:
    """Whether layers in int8, and nobody else, read `tensor` or values of it."""
    return tensor != OUTPUT and all(
        node.output[0] in int8
        or (node.op_type in MOVES and only_wanted(graph, node.output[0], int8))
        for node in graph.readers.get(tensor, ())
    )


def is_joint(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether `node` joins activations, as a residual connection does."""
    if node.op_type == "Add":
        return len(set(node.input)) == 2 and all(graph.is_activation(n) for n in node.input)
    return node.op_type == "Concat" and all(graph.is_activation(n) for n in node.input)


def joint_output(graph: Graph, node: onnx.NodeProto) -> str:
    """What `node` gives, with a ReLU behind a sum taken in."""
    reader = graph.only_reader(node.output[0]) if node.op_type == "Add" else None
    taken = reader is not None and reader.op_type == "Relu"
    return str(reader.output[0] if reader is not None and taken else node.output[0])


def observed(graph: Graph, layers: Iterable[Layer]) -> tuple[str, ...]:
    """The tensors whose values must be known."""
    names: dict[str, None] = {}
    for layer in layers:
        names |= {root(graph, layer.input): None, layer.output: None}
    for node in graph.nodes:
        if is_joint(graph, node):
            names |= dict.fromkeys(root(graph, name) for name in node.input)
            names[joint_output(graph, node)] = None
    return tuple(names)


def scales(graph: Graph, kept: Mapping[str, Range]) -> dict[str, Scale]:
    """A scale for each observed tensor, from the range of it that is kept.

    What is concatenated has one scale. What is added has one step, and so has the sum: then
    there is nothing to round, which processors do differently in ONNX Runtime's sums.
    """
    ranges = dict(kept)
    groups = {name: frozenset([name]) for name in ranges}
    for node in graph.nodes:
        if node.op_type == "Concat" and is_joint(graph, node):
            names = [*(root(graph, n) for n in node.input), node.output[0]]
            _join(groups, names)
    for group in set(groups.values()):
        _widen(ranges, group)
    found = {name: scale_of(value) for name, value in ranges.items()}
    for node in graph.nodes:
        if node.op_type == "Add" and is_joint(graph, node):
            names = [*(root(graph, n) for n in node.input), joint_output(graph, node)]
            _join(groups, names)
    for group in set(groups.values()):
        step = max(found[name].step for name in group)
        found |= {name: _with_step(step, found[name], ranges[name]) for name in group}
    return found


def _join(groups: dict[str, frozenset[str]], names: list[str]) -> None:
    joined = frozenset().union(*(groups[name] for name in names))
    groups.update(dict.fromkeys(joined, joined))


def _widen(ranges: dict[str, Range], group: frozenset[str]) -> None:
    both = min(ranges[n][0] for n in group), max(ranges[n][1] for n in group)
    ranges.update(dict.fromkeys(group, both))


def _with_step(step: float, scale: Scale, kept: Range) -> Scale:
    return scale if step == scale.step else Scale(step, round(-min(kept[0], 0.0) / step))


def last_layers(graph: Graph, layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Those whose output no other layer reads in int8."""
    every = frozenset(layer.key for layer in layers)
    return tuple(
        layer
        for layer in layers
        if not is_wanted(graph, layer.output, every) and layer.output in (*graph.readers, OUTPUT)
    )
