"""A network in int8, written as ONNX has it: integers, and the layers between scales.

A layer in int8 is DequantizeLinear of its input, weights and bias, the layer, QuantizeLinear;
ONNX Runtime makes one operator of it. What only moves values works on the integers themselves,
so that nothing redundant is written for a runtime to find. Any other operator gets float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper

from edgeaudio_export.quantise import exact, scheme
from edgeaudio_export.quantise.graph import OUTPUT, Graph, build
from edgeaudio_export.quantise.layers import MOVES, Layer
from edgeaudio_export.quantise.patches import as_product
from edgeaudio_export.quantise.ranges import Scale
from edgeaudio_export.quantise.rounding import exact_grid, exact_input, weights_int8
from edgeaudio_export.quantise.scheme import Scheme
from edgeaudio_export.quantise.sink import Sink

MEANS = ("ReduceMean", "GlobalAveragePool", "AveragePool")


@dataclass(frozen=True)
class Written:
    """A model, and the layers in it whose bits differ between processors, by their keys."""

    model: onnx.ModelProto
    inexact: frozenset[str]


def write(graph: Graph, layers: tuple[Layer, ...], plan: Scheme) -> Written:
    """The model that computes as `plan` says; it has the input and output of `graph`.

    A layer that is not in int8 is on a grid where its sums are exact, or in plain float32 where
    that grid would be coarser than int8.
    """
    writer = _Writer(graph, layers, plan)
    for node in graph.nodes:
        writer.add(node)
    writer.as_float(OUTPUT)
    model = build(graph.model, _needed(writer.nodes), writer.constants)
    return Written(model, frozenset(writer.inexact))


class _Writer(Sink):
    def __init__(self, graph: Graph, layers: tuple[Layer, ...], plan: Scheme) -> None:
        super().__init__(graph, plan)
        self.layers = {layer.key: layer for layer in layers}
        self.inexact: set[str] = set()
        self._taken_in: set[str] = set()

    def add(self, node: onnx.NodeProto) -> None:
        """Write what computes the outputs of `node`."""
        output = node.output[0]
        layer = self.layers.get(output)
        if output in self._taken_in:
            return
        if layer is not None and output in self.plan.int8:
            self._add_int8(layer)
        elif layer is not None:
            self._add_in_float(layer)
        elif node.op_type in MOVES and self._moves_integers(node):
            self._add_move(node)
        elif scheme.is_joint(self.graph, node) and self._joins_integers(node):
            self._add_joint(node)
        elif node.op_type in MEANS and node.input[0] in self.integers:
            self._add_mean(node)
        else:
            self._add_float(node)

    # Kinds of nodes.

    def _add_float(self, node: onnx.NodeProto) -> None:
        for name in node.input:
            self.as_float(name)
        self.nodes.append(node)
        self.native.update(node.output)

    def _add_int8(self, layer: Layer) -> None:
        _, scale = self.as_integers(layer.input)
        key = layer.key
        inputs = [self.as_rounded(layer.input), *self._add_weights(layer, scale)]
        channels = self.plan.channels.get(key)
        if layer.node.op_type == "Gemm" and not self._is_wanted(layer.output):
            self.copy(layer.node, inputs, key)
            self.native.add(key)
            if layer.activation is not None and layer.activation.op_type == "Relu":
                # As a ReLU, ONNX Runtime would join it to the product, and that in floats.
                self.node("Max", [key, self.scalar(0.0)], layer.output)
                self.native.add(layer.output)
                self._taken_in.add(layer.output)
            return
        result = self.copy(layer.node, inputs, f"{key}.sum")
        found = self.plan.scales[layer.output] if channels is None else Scale(1.0, 0)
        self.quantise(result, found, f"{key}.uint8")
        self.integers[layer.output] = self._clipped(layer, f"{key}.uint8", found), found
        if channels is not None:
            self.channels[layer.output] = channels
        if layer.activation is not None:
            self._taken_in.add(layer.output)

    def _add_weights(self, layer: Layer, scale: Scale) -> list[str]:
        """Constants in integers with what turns them into floats; returns the floats' names."""
        key = layer.key
        bias = self.plan.biases.get(key, layer.bias)
        channels = self.plan.channels.get(key)
        whole, steps, offsets = weights_int8(layer, bias, scale.step, self.plan.target.weight_limit)
        if channels is not None:  # in units of the output's steps, and from its lowest value on
            steps = (steps / channels.step).astype(np.float32)
            wide = steps.astype(np.float64) * scale.step
            offsets = np.rint((bias - channels.low) / channels.step / wide).astype(np.int32)
        axis = 0
        if layer.node.op_type == "MatMul" or (
            layer.node.op_type == "Gemm" and not _attribute(layer.node, "transB")
        ):
            whole, axis = np.ascontiguousarray(whole.T), 1
        names = [self.add_constant(f"{key}.weight", whole, steps, axis)]
        if layer.node.op_type != "MatMul":
            both = (steps * np.float32(scale.step)).astype(np.float32)
            names.append(self.add_constant(f"{key}.bias", offsets, both, 0))
        return names

    def _add_in_float(self, layer: Layer) -> None:
        integers = layer.input in self.integers and layer.input not in self.channels
        grid = exact_grid(self.graph, layer, self.plan, integers=integers)
        if layer.activation is not None and layer.activation.op_type == "Relu":
            self.before_relu[layer.output] = layer.key
        if grid.bits < exact.LEAST_BITS:
            self.inexact.add(layer.key)
            self._add_plain(layer)
        else:
            self._add_exact(layer, grid, self._exact_source(layer, integers=integers))

    def _add_plain(self, layer: Layer) -> None:
        source = layer.input
        if source in self.integers and source not in self.native | self.channels.keys():
            # Behind a DequantizeLinear, ONNX Runtime would put the weights in int8 by itself.
            step = self.scalar(self.integers[source][1].step)
            source = self.node("Mul", [self.as_whole(source), step], f"{layer.key}.plain")
        self.copy(layer.node, [self.as_float(source), *layer.node.input[1:]], layer.key)
        self.native.add(layer.key)

    def _exact_source(self, layer: Layer, *, integers: bool) -> str:
        """The layer's input as integers in float32."""
        if integers:
            return self.as_whole(layer.input)
        step, limit = exact_input(self.graph, layer, self.plan, integers=False)
        name = f"{layer.key}.exact"
        source = self.as_float(layer.input)
        self.node("Mul", [source, self.scalar(1 / step)], f"{name}.scaled")
        self.node("Round", [f"{name}.scaled"], f"{name}.rounded")
        limits = [self.scalar(-limit), self.scalar(limit)]
        return self.node("Clip", [f"{name}.rounded", *limits], f"{name}.clipped")

    def _add_exact(self, layer: Layer, grid: exact.Grid, source: str) -> None:
        key = layer.key
        self.native.add(key)
        if self._add_product(layer, grid, source):
            return
        weight = grid.weight
        if layer.node.op_type == "MatMul" or (
            layer.node.op_type == "Gemm" and not _attribute(layer.node, "transB")
        ):
            weight = np.ascontiguousarray(weight.T)
        names = [f"{key}.exact.weight", f"{key}.exact.bias"]
        self.constants |= dict(zip(names, (weight, grid.bias), strict=True))
        if layer.node.op_type == "MatMul":
            names = names[:1]
        self.copy(layer.node, [source, *names], key)

    def _add_product(self, layer: Layer, grid: exact.Grid, source: str) -> bool:
        """Write a convolution of few values as a product; whether it is one."""
        key, scale = layer.key, self.plan.scales.get(layer.output)
        shape = self.graph.shapes.get(layer.input, ())
        relu = layer.activation is not None and layer.activation.op_type == "Relu"
        if (
            scale is not None
            and (layer.activation is None or (relu and scale.zero == 0))
            and scheme.only_wanted(self.graph, layer.output, self.plan.int8)
        ):
            step, zero = self.scale(scale)
            name = f"{layer.output}.uint8"
            product = as_product(layer, grid, source, shape, name, (step, zero))
            if product is not None:
                self.integers[layer.output] = name, scale
                if relu:
                    self._taken_in.add(layer.output)
        else:
            product = as_product(layer, grid, source, shape, key)
        if product is not None:
            self.nodes += product.nodes
            self.constants |= product.constants
        return product is not None

    def _moves_integers(self, node: onnx.NodeProto) -> bool:
        source = node.input[0]
        if source in self.channels:
            return node.op_type == "MaxPool"
        if source in self.integers:
            return True
        known = scheme.root(self.graph, source) in self.plan.scales
        return known and self._is_wanted(node.output[0])

    def _add_move(self, node: onnx.NodeProto) -> None:
        name, scale = self.as_integers(node.input[0])
        output = node.output[0]
        self.copy(node, [name, *node.input[1:]], f"{output}.uint8")
        self.integers[output] = f"{output}.uint8", scale
        if node.input[0] in self.channels:
            self.channels[output] = self.channels[node.input[0]]

    def _joins_integers(self, node: onnx.NodeProto) -> bool:
        return self._is_wanted(scheme.joint_output(self.graph, node))

    def _add_joint(self, node: onnx.NodeProto) -> None:
        output = scheme.joint_output(self.graph, node)
        scale = self.plan.scales[output]
        inputs = [self.as_integers(name)[0] for name in node.input]
        name = f"{output}.uint8"
        if node.op_type == "Concat":
            self.copy(node, inputs, name)
        else:
            floats = [self.as_rounded(tensor) for tensor in node.input]
            self.quantise(self.copy(node, floats, f"{output}.sum"), scale, name)
            if output != node.output[0]:
                self._taken_in.add(output)
                if scale.zero:
                    name = self.clip(name, scale.zero, 255)
        self.integers[output] = name, scale

    def _add_mean(self, node: onnx.NodeProto) -> None:
        """A mean of whole numbers, whose sum is exact; the step comes afterwards."""
        source, output = node.input[0], node.output[0]
        channels = self.channels.get(source)
        mean = self.copy(node, [self.as_whole(source)], f"{output}.mean")
        if channels is None:
            step = self.integers[source][1].step
            self.node("Mul", [mean, self.scalar(step)], output)
        else:
            kept = bool(_attribute(node, "keepdims", 1))
            self.add_steps(mean, output, channels.step, channels.low, flat=not kept)
        self.native.add(output)

    def _is_wanted(self, tensor: str) -> bool:
        return scheme.is_wanted(self.graph, tensor, self.plan.int8)

    def _clipped(self, layer: Layer, name: str, scale: Scale) -> str:
        """What the layer's activation leaves of the integers; saturation does most of it."""
        if layer.activation is None:
            return name
        top = 255 if layer.ceiling is None else round(layer.ceiling / scale.step) + scale.zero
        return self.clip(name, scale.zero, top) if scale.zero or top < 255 else name


def _needed(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Those that the output is computed from."""
    names, kept = {OUTPUT}, []
    for node in reversed(nodes):
        if names.intersection(node.output):
            kept.append(node)
            names.update(node.input)
    return kept[::-1]


def _attribute(node: onnx.NodeProto, name: str, default: Any = 0) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)
