"""Nodes and constants as they are written, and the forms that tensors have among them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgeaudio_export.quantise import scheme
from edgeaudio_export.quantise.graph import Graph
from edgeaudio_export.quantise.ranges import Scale
from edgeaudio_export.quantise.scheme import Channels, Scheme


class Sink:
    """Takes nodes in order, and writes a form of a tensor where it is first asked for.

    native: tensors that a node gives in float32. floats: others that are there in float32.
    integers: where tensors are there in uint8, and on which scale. channels: those whose
    channels have scales of their own. before_relu: what a ReLU reads, by what it gives.
    """

    def __init__(self, graph: Graph, plan: Scheme) -> None:
        self.graph, self.plan = graph, plan
        self.nodes: list[onnx.NodeProto] = []
        self.constants = dict(graph.constants)
        self.native: set[str] = {graph.input}
        self.floats: set[str] = set()
        self.integers: dict[str, tuple[str, Scale]] = {}
        self.channels: dict[str, Channels] = {}
        self.before_relu: dict[str, str] = {}

    # The forms of a tensor.

    def as_float(self, tensor: str) -> str:
        """The name of `tensor` in float32, which is its own."""
        if tensor in self.integers and tensor not in self.floats | self.native:
            self.floats.add(tensor)
            channels = self.channels.get(tensor)
            name, scale = self.integers[tensor]
            if channels is None:
                self.dequantise(name, scale, tensor)
            else:
                self.add_steps(self.as_whole(tensor), tensor, channels.step, channels.low)
        return tensor

    def as_integers(self, tensor: str) -> tuple[str, Scale]:
        """The name of `tensor` in uint8, and its scale."""
        if tensor not in self.integers:
            scale = self.plan.scales[scheme.root(self.graph, tensor)]
            # Below its range it gives 0, so that a ReLU before it does nothing.
            source = tensor if scale.zero else self.before_relu.get(tensor, tensor)
            self.quantise(source, scale, f"{tensor}.uint8")
            self.integers[tensor] = f"{tensor}.uint8", scale
        return self.integers[tensor]

    def as_rounded(self, tensor: str) -> str:
        """The name of `tensor` in float32, as its integers have it."""
        name, scale = self.as_integers(tensor)
        rounded = f"{tensor}.rounded" if tensor in self.native else self.as_float(tensor)
        if rounded not in self.floats:
            self.floats.add(rounded)
            self.dequantise(name, scale, rounded)
        return rounded

    def as_whole(self, tensor: str) -> str:
        """The name of `tensor`'s integers as whole numbers in float32, 0 standing for 0.

        Not DequantizeLinear: a runtime might take that for a layer to be quantised.
        """
        name, scale = self.integers[tensor]
        whole = f"{tensor}.whole"
        if whole not in self.floats:
            self.floats.add(whole)
            cast = f"{tensor}.cast" if scale.zero else whole
            self.node("Cast", [name], cast, to=TensorProto.FLOAT)
            if scale.zero:
                self.node("Sub", [cast, self.scalar(scale.zero)], whole)
        return whole

    # Small pieces.

    def add_steps(
        self, source: str, output: str, step: Any, low: Any, *, flat: bool = False
    ) -> None:
        """Write source * step + low, channel by channel. flat: both are [channels]."""
        rank = self.graph.rank(output) or 4
        shape = (-1,) if flat or rank == 2 else (1, -1, *[1] * (rank - 2))
        names = [f"{output}.channels.{part}" for part in ("step", "low")]
        for name, value in zip(names, (step, low), strict=True):
            self.constants[name] = np.asarray(value, np.float32).reshape(shape)
        shifted = bool(np.any(low))
        self.node("Mul", [source, names[0]], f"{output}.scaled" if shifted else output)
        if shifted:
            self.node("Add", [f"{output}.scaled", names[1]], output)

    def clip(self, name: str, low: int, high: int) -> str:
        """Write uint8 clipped to `low` and `high`."""
        limits = []
        for value in (low, min(high, 255)):
            limits.append(f"uint8.{value}")
            self.constants[limits[-1]] = np.array(value, np.uint8)
        return self.node("Clip", [name, *limits], f"{name}.clipped")

    def quantise(self, source: str, scale: Scale, output: str) -> None:
        """Write float32 as uint8."""
        self.node("QuantizeLinear", [source, *self.scale(scale)], output)

    def dequantise(self, source: str, scale: Scale, output: str) -> None:
        """Write uint8 as float32."""
        self.node("DequantizeLinear", [source, *self.scale(scale)], output)

    def scale(self, scale: Scale) -> list[str]:
        """The names of step and zero, as constants."""
        zero = f"uint8.{scale.zero}"
        self.constants[zero] = np.array(scale.zero, np.uint8)
        return [self.scalar(scale.step), zero]

    def add_constant(
        self, name: str, values: NDArray[Any], steps: NDArray[np.float32], axis: int
    ) -> str:
        """Write constant integers that stand for multiples of steps along `axis`."""
        names = [f"{name}.{part}" for part in ("integers", "steps", "zeros")]
        zeros = np.zeros(len(steps), values.dtype)
        self.constants |= dict(zip(names, (values, steps, zeros), strict=True))
        return self.node("DequantizeLinear", names, f"{name}.values", axis=axis)

    def scalar(self, value: float) -> str:
        """The name of a constant float32 without axes."""
        name = f"scalar.{np.float32(value)!s}"
        self.constants[name] = np.array(value, np.float32)
        return name

    def copy(self, node: onnx.NodeProto, inputs: list[str], output: str) -> str:
        """Write `node` with other inputs and another output."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = inputs
        copy.output[:] = [output]
        self.nodes.append(copy)
        return output

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Write a node of one output."""
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output
