"""A foreign `.onnx` file: checked, cut at a layer, and run as it is for comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, ValueInfoProto

from edgeaudio.network import open_session
from edgeaudio.types import F32
from edgeaudio_export.foreign.plain import all_nodes, check_plain, parse, pruned, to_opset
from edgeaudio_export.foreign.request import Converted, Refused, named
from edgeaudio_export.foreign.shapes import Fit, fit


def convert(source: Path, layer: str | None, signals: F32) -> Converted:
    """Bring a file into our opset. layer: name of a tensor. signals: float32 [K, ...].

    Raises Refused, and whatever ONNX Runtime raises.
    """
    model = parse(source.read_bytes())
    check_plain(model)
    cut(model, layer)
    laid = _fix_input(model, signals.shape[1:])
    rows = run(model, signals, laid)
    # ONNX wants an output to say how many dimensions it has, which is known only now.
    dimensions: list[int | None] = [None] * rows[0].ndim
    name = model.graph.output[0].name
    model.graph.output[0].CopyFrom(
        onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, dimensions)
    )
    outputs = np.stack([row.astype(np.float32).reshape(-1) for row in rows])
    return Converted(to_opset(model), outputs)


def cut(model: onnx.ModelProto, layer: str | None) -> None:
    """Leave one output, `layer` or the only one there is, and what it needs."""
    graph = model.graph
    outputs = [output.name for output in graph.output]
    if layer is None and len(outputs) != 1:
        raise Refused(f"it has {len(outputs)} outputs ({named(outputs)}); name one with --layer")
    wanted = layer or outputs[0]
    made = [name for node in graph.node for name in node.output if name]
    if wanted not in made:
        raise Refused(f"it has no tensor {wanted!r}; its last ones are {named(made[:-13:-1])}")
    _check_kind(model, wanted)
    nodes, constants = pruned(graph, wanted)
    constant_names = {tensor.name for tensor in constants}
    read = {name for node in all_nodes(graph) for name in node.input} - constant_names
    inputs = [i for i in graph.input if i.name in read]
    del graph.node[:], graph.initializer[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    graph.input.extend(inputs)
    graph.output.append(onnx.helper.make_tensor_value_info(wanted, TensorProto.FLOAT, None))


def _check_kind(model: onnx.ModelProto, tensor: str) -> None:
    """Raise Refused where it is known that `tensor` holds no float32."""
    for output in model.graph.output:  # what is said of it may be wrong
        output.ClearField("type")
    inferred = onnx.shape_inference.infer_shapes(model).graph
    for value in (*inferred.value_info, *inferred.output):
        kind = value.type.tensor_type.elem_type
        if value.name == tensor and kind not in (TensorProto.UNDEFINED, TensorProto.FLOAT):
            type_name = TensorProto.DataType.Name(kind).lower()
            raise Refused(f"its tensor {tensor!r} is {type_name}; float32 is expected")


def run(model: onnx.ModelProto, signals: F32, laid: Fit) -> list[F32]:
    """What ONNX Runtime says of each signal."""
    session = open_session(model.SerializeToString())
    name = session.get_inputs()[0].name
    return [session.run(None, {name: laid.lay(signal)})[0] for signal in signals]


def _fix_input(model: onnx.ModelProto, data: tuple[int, ...]) -> Fit:
    """Write the size of a window into the input."""
    inputs = list(model.graph.input)
    if len(inputs) != 1:
        names = named([i.name for i in inputs])
        raise Refused(f"it has {len(inputs)} inputs ({names}); one is expected, the window")
    kind = inputs[0].type.tensor_type
    if kind.elem_type != TensorProto.FLOAT:
        type_name = TensorProto.DataType.Name(kind.elem_type).lower()
        raise Refused(f"its input is {type_name}; float32 samples are expected")
    if not kind.HasField("shape"):
        raise Refused("its input says nothing about its dimensions")
    laid = fit(data, [_size(dimension) for dimension in kind.shape.dim])
    set_dimensions(inputs[0], laid)
    return laid


def _size(dimension: onnx.TensorShapeProto.Dimension) -> int | None:
    return dimension.dim_value if dimension.HasField("dim_value") else None


def set_dimensions(tensor: ValueInfoProto, laid: Fit) -> None:
    """Give an input the dimensions of `laid`."""
    name, kind = tensor.name, TensorProto.FLOAT
    dimensions = ["N" if d is None else d for d in laid.dimensions]
    tensor.CopyFrom(onnx.helper.make_tensor_value_info(name, kind, dimensions))
