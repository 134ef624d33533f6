"""A network in int8, written as ONNX has it: integers, and the layers between scales.

A layer in int8 is DequantizeLinear of its input, weights and bias, the layer, QuantizeLinear;
ONNX Runtime makes one operator of it. What only moves values works on the integers themselves,
so that nothing redundant is written for a runtime to find. Any other operator gets float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgeaudio_export.quantise import exact, scheme
from edgeaudio_export.quantise.graph import OUTPUT, Graph, build
from edgeaudio_export.quantise.layers import MOVES, Layer
from edgeaudio_export.quantise.patches import as_product
from edgeaudio_export.quantise.ranges import Scale
from edgeaudio_export.quantise.scheme import Channels, Scheme

MEANS = ("ReduceMean", "GlobalAveragePool", "AveragePool")
_LARGEST_BIAS = 2.0**30


def write(graph: Graph, layers: tuple[Layer, ...], plan: Scheme) -> onnx.ModelProto:
    """The model that computes as `plan` says; it has the input and output of `graph`."""
    writer = _Writer(graph, layers, plan)
    for node in graph.nodes:
        writer.add(node)
    writer.as_float(OUTPUT)
    return build(graph.model, _needed(writer.nodes), writer.constants)


def exact_grid(graph: Graph, layer: Layer, plan: Scheme, *, integers: bool) -> exact.Grid:
    """The grid that `layer` would be exact on. integers: its input is uint8 already."""
    unit, limit = _exact_input(graph, layer, plan, integers=integers)
    bias = plan.biases.get(layer.key, layer.bias)
    return exact.on_grid(layer.weight, bias, limit, unit)


def _exact_input(graph: Graph, layer: Layer, plan: Scheme, *, integers: bool) -> tuple[float, int]:
    source = scheme.root(graph, layer.input)
    if integers:
        scale = plan.scales[source]
        return scale.step, max(scale.zero, 255 - scale.zero)
    return exact.input_step(plan.largest[source])


def weights_int8(
    layer: Layer, bias: NDArray[Any], input_step: float, limit: int
) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.int32]]:
    """Weights [out, ...] in int8 up to `limit`, their steps [out], and the bias [out] in int32.

    Where a bias is so large beside its channel's weights that it would not fit, they get a
    larger step.
    """
    flat = np.abs(layer.weight.reshape(len(layer.weight), -1)).max(axis=1)
    least = np.abs(bias) / (_LARGEST_BIAS * input_step)
    steps = np.maximum(flat / limit, np.maximum(least, 1e-30)).astype(np.float32)
    wide = steps.astype(np.float64)
    whole = np.rint(layer.weight / wide.reshape(-1, *[1] * (layer.weight.ndim - 1)))
    offsets = np.rint(bias / (wide * input_step))
    return np.clip(whole, -limit, limit).astype(np.int8), steps, offsets.astype(np.int32)


class _Writer:
    def __init__(self, graph: Graph, layers: tuple[Layer, ...], plan: Scheme) -> None:
        self.graph, self.plan = graph, plan
        self.layers = {layer.key: layer for layer in layers}
        self.nodes: list[onnx.NodeProto] = []
        self.constants = dict(graph.constants)
        self._native: set[str] = {graph.input}
        self._floats: set[str] = set()
        self._integers: dict[str, tuple[str, Scale]] = {}
        self._channels: dict[str, Channels] = {}
        self._taken_in: set[str] = set()
        self._before_relu: dict[str, str] = {}

    def add(self, node: onnx.NodeProto) -> None:
        """Write what computes the outputs of `node`."""
        output = node.output[0]
        layer = self.layers.get(output)
        if output in self._taken_in:
            return
        if layer is not None and output in self.plan.int8:
            self._add_int8(layer)
        elif layer is not None:
            self._add_exact(layer)
        elif node.op_type in MOVES and self._moves_integers(node):
            self._add_move(node)
        elif scheme.is_joint(self.graph, node) and self._joins_integers(node):
            self._add_joint(node)
        elif node.op_type in MEANS and node.input[0] in self._integers:
            self._add_mean(node)
        else:
            self._add_float(node)

    def as_float(self, tensor: str) -> str:
        """The name of `tensor` in float32, which is its own."""
        if tensor in self._integers and tensor not in self._floats | self._native:
            self._floats.add(tensor)
            channels = self._channels.get(tensor)
            name, scale = self._integers[tensor]
            if channels is None:
                self._dequantise(name, scale, tensor)
            else:
                self._add_steps(self._plain(tensor), tensor, channels.step, channels.low)
        return tensor

    def _rounded(self, tensor: str) -> str:
        """The name of `tensor` in float32, as its integers have it."""
        name, scale = self.as_integers(tensor)
        rounded = f"{tensor}.rounded" if tensor in self._native else self.as_float(tensor)
        if rounded not in self._floats:
            self._floats.add(rounded)
            self._dequantise(name, scale, rounded)
        return rounded

    def as_integers(self, tensor: str) -> tuple[str, Scale]:
        """The name of `tensor` in uint8, and its scale."""
        if tensor not in self._integers:
            scale = self.plan.scales[scheme.root(self.graph, tensor)]
            # Below its range it gives 0, so that a ReLU before it does nothing.
            source = tensor if scale.zero else self._before_relu.get(tensor, tensor)
            self._quantise(source, scale, f"{tensor}.uint8")
            self._integers[tensor] = f"{tensor}.uint8", scale
        return self._integers[tensor]

    # Kinds of nodes.

    def _add_float(self, node: onnx.NodeProto) -> None:
        for name in node.input:
            self.as_float(name)
        self.nodes.append(node)
        self._native.update(node.output)

    def _add_int8(self, layer: Layer) -> None:
        _, scale = self.as_integers(layer.input)
        key = layer.key
        inputs = [self._rounded(layer.input), *self._add_weights(layer, scale)]
        channels = self.plan.channels.get(key)
        if layer.node.op_type == "Gemm" and not self._is_wanted(layer.output):
            self._copy(layer.node, inputs, key)
            self._native.add(key)
            if layer.activation is not None and layer.activation.op_type == "Relu":
                # As a ReLU, ONNX Runtime would join it to the product, and that in floats.
                self._node("Max", [key, self._scalar(0.0)], layer.output)
                self._native.add(layer.output)
                self._taken_in.add(layer.output)
            return
        result = self._copy(layer.node, inputs, f"{key}.sum")
        found = self.plan.scales[layer.output] if channels is None else Scale(1.0, 0)
        self._quantise(result, found, f"{key}.uint8")
        self._integers[layer.output] = self._clipped(layer, f"{key}.uint8", found), found
        if channels is not None:
            self._channels[layer.output] = channels
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
        names = [self._add_constant(f"{key}.weight", whole, steps, axis)]
        if layer.node.op_type != "MatMul":
            both = (steps * np.float32(scale.step)).astype(np.float32)
            names.append(self._add_constant(f"{key}.bias", offsets, both, 0))
        return names

    def _add_exact(self, layer: Layer) -> None:
        key = layer.key
        integers = layer.input in self._integers and layer.input not in self._channels
        grid = exact_grid(self.graph, layer, self.plan, integers=integers)
        source = self._plain(layer.input) if integers else self._on_grid(layer)
        self._native.add(key)
        if layer.activation is not None and layer.activation.op_type == "Relu":
            self._before_relu[layer.output] = key
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
        self._copy(layer.node, [source, *names], key)

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
            step, zero = self._scale(scale)
            name = f"{layer.output}.uint8"
            product = as_product(layer, grid, source, shape, name, (step, zero))
            if product is not None:
                self._integers[layer.output] = name, scale
                if relu:
                    self._taken_in.add(layer.output)
        else:
            product = as_product(layer, grid, source, shape, key)
        if product is not None:
            self.nodes += product.nodes
            self.constants |= product.constants
        return product is not None

    def _on_grid(self, layer: Layer) -> str:
        """The layer's input as integers in float32."""
        step, limit = _exact_input(self.graph, layer, self.plan, integers=False)
        name = f"{layer.key}.exact"
        source = self.as_float(layer.input)
        self._node("Mul", [source, self._scalar(1 / step)], f"{name}.scaled")
        self._node("Round", [f"{name}.scaled"], f"{name}.rounded")
        limits = [self._scalar(-limit), self._scalar(limit)]
        return self._node("Clip", [f"{name}.rounded", *limits], f"{name}.clipped")

    def _moves_integers(self, node: onnx.NodeProto) -> bool:
        source = node.input[0]
        if source in self._channels:
            return node.op_type == "MaxPool"
        if source in self._integers:
            return True
        known = scheme.root(self.graph, source) in self.plan.scales
        return known and self._is_wanted(node.output[0])

    def _add_move(self, node: onnx.NodeProto) -> None:
        name, scale = self.as_integers(node.input[0])
        output = node.output[0]
        self._copy(node, [name, *node.input[1:]], f"{output}.uint8")
        self._integers[output] = f"{output}.uint8", scale
        if node.input[0] in self._channels:
            self._channels[output] = self._channels[node.input[0]]

    def _joins_integers(self, node: onnx.NodeProto) -> bool:
        return self._is_wanted(scheme.joint_output(self.graph, node))

    def _add_joint(self, node: onnx.NodeProto) -> None:
        output = scheme.joint_output(self.graph, node)
        scale = self.plan.scales[output]
        inputs = [self.as_integers(name)[0] for name in node.input]
        name = f"{output}.uint8"
        if node.op_type == "Concat":
            self._copy(node, inputs, name)
        else:
            floats = [self._rounded(tensor) for tensor in node.input]
            self._quantise(self._copy(node, floats, f"{output}.sum"), scale, name)
            if output != node.output[0]:
                self._taken_in.add(output)
                if scale.zero:
                    name = self._clip(name, scale.zero, 255)
        self._integers[output] = name, scale

    def _add_mean(self, node: onnx.NodeProto) -> None:
        """A mean of whole numbers, whose sum is exact; the step comes afterwards."""
        source, output = node.input[0], node.output[0]
        channels = self._channels.get(source)
        mean = self._copy(node, [self._plain(source)], f"{output}.mean")
        if channels is None:
            step = self._integers[source][1].step
            self._node("Mul", [mean, self._scalar(step)], output)
        else:
            kept = bool(_attribute(node, "keepdims", 1))
            self._add_steps(mean, output, channels.step, channels.low, flat=not kept)
        self._native.add(output)

    # Small pieces.

    def _is_wanted(self, tensor: str) -> bool:
        return scheme.is_wanted(self.graph, tensor, self.plan.int8)

    def _plain(self, tensor: str) -> str:
        """uint8 as whole numbers in float32, 0 standing for 0.

        Not DequantizeLinear: a runtime might take that for a layer to be quantised.
        """
        name, scale = self._integers[tensor]
        plain = f"{tensor}.whole"
        if plain not in self._floats:
            self._floats.add(plain)
            cast = f"{tensor}.cast" if scale.zero else plain
            self._node("Cast", [name], cast, to=TensorProto.FLOAT)
            if scale.zero:
                self._node("Sub", [cast, self._scalar(scale.zero)], plain)
        return plain

    def _add_steps(
        self, source: str, output: str, step: Any, low: Any, *, flat: bool = False
    ) -> None:
        """source * step + low, channel by channel."""
        rank = self.graph.rank(output) or 4
        shape = (-1,) if flat or rank == 2 else (1, -1, *[1] * (rank - 2))
        names = [f"{output}.channels.{part}" for part in ("step", "low")]
        for name, value in zip(names, (step, low), strict=True):
            self.constants[name] = np.asarray(value, np.float32).reshape(shape)
        shifted = bool(np.any(low))
        self._node("Mul", [source, names[0]], f"{output}.scaled" if shifted else output)
        if shifted:
            self._node("Add", [f"{output}.scaled", names[1]], output)

    def _clipped(self, layer: Layer, name: str, scale: Scale) -> str:
        """What the layer's activation leaves of the integers; saturation does most of it."""
        if layer.activation is None:
            return name
        top = 255 if layer.ceiling is None else round(layer.ceiling / scale.step) + scale.zero
        return self._clip(name, scale.zero, top) if scale.zero or top < 255 else name

    def _clip(self, name: str, low: int, high: int) -> str:
        limits = []
        for value in (low, min(high, 255)):
            limits.append(f"uint8.{value}")
            self.constants[limits[-1]] = np.array(value, np.uint8)
        return self._node("Clip", [name, *limits], f"{name}.clipped")

    def _quantise(self, source: str, scale: Scale, output: str) -> None:
        self._node("QuantizeLinear", [source, *self._scale(scale)], output)

    def _dequantise(self, source: str, scale: Scale, output: str) -> None:
        self._node("DequantizeLinear", [source, *self._scale(scale)], output)

    def _scale(self, scale: Scale) -> list[str]:
        zero = f"uint8.{scale.zero}"
        self.constants[zero] = np.array(scale.zero, np.uint8)
        return [self._scalar(scale.step), zero]

    def _add_constant(
        self, name: str, values: NDArray[Any], steps: NDArray[np.float32], axis: int
    ) -> str:
        names = [f"{name}.{part}" for part in ("integers", "steps", "zeros")]
        zeros = np.zeros(len(steps), values.dtype)
        self.constants |= dict(zip(names, (values, steps, zeros), strict=True))
        return self._node("DequantizeLinear", names, f"{name}.values", axis=axis)

    def _scalar(self, value: float) -> str:
        name = f"scalar.{np.float32(value)!s}"
        self.constants[name] = np.array(value, np.float32)
        return name

    def _copy(self, node: onnx.NodeProto, inputs: list[str], output: str) -> str:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = inputs
        copy.output[:] = [output]
        self.nodes.append(copy)
        return output

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output


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
