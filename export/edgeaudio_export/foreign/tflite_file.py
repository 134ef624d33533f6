"""A `.tflite` file: its weights made float, and cut at a tensor.

Imported in the worker process alone.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from edgeaudio.types import F32
from edgeaudio_export.foreign.request import Converted, Refused, named
from edgeaudio_export.foreign.shapes import Fit, fit
from edgeaudio_export.foreign.tensorflow import rows, tflite_to_onnx
from edgeaudio_export.foreign.tflite_floats import to_float


def convert(source: Path, layer: str | None, signals: F32) -> Converted:
    """Bring a file into ONNX. layer: name of a tensor. signals: float32 [K, ...].

    Raises Refused, and whatever TensorFlow Lite and tf2onnx raise.
    """
    model = _parse(source.read_bytes())
    to_float(model)
    graph = model.subgraphs[0]
    cut(graph, layer)
    laid = _fix_input(graph, signals.shape[1:])
    model.signatureDefs = []  # they speak of the outputs that were
    path = source.with_name("float.tflite")
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    return Converted(tflite_to_onnx(str(path)), _run(path, signals, laid))


def _parse(data: bytes) -> Any:
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    except (struct.error, IndexError, ValueError, TypeError, OverflowError):
        raise Refused("it is damaged, or cut short") from None
    if not model.subgraphs or not model.buffers or not model.operatorCodes:
        raise Refused("it holds no graph")
    for graph in model.subgraphs:
        for operator in graph.operators or []:
            tensors = [*_or_empty(operator.inputs), *_or_empty(operator.outputs)]
            if not -1 <= min(tensors, default=0) <= max(tensors, default=0) < len(graph.tensors):
                raise Refused("it is damaged: an operator takes a tensor that is not there")
            if not 0 <= operator.opcodeIndex < len(model.operatorCodes):
                raise Refused("it is damaged: it names an operator that is not there")
            operator.inputs, operator.outputs = map(_or_empty, (operator.inputs, operator.outputs))
    return model


def _or_empty(values: Any) -> list[int]:
    return [] if values is None else [int(value) for value in values]


def cut(graph: Any, layer: str | None) -> None:
    """Leave one output, `layer` or the only one there is, and what it needs."""
    outputs = [_name(graph, index) for index in graph.outputs]
    if layer is None and len(outputs) != 1:
        raise Refused(f"it has {len(outputs)} outputs ({named(outputs)}); name one with --layer")
    made = [index for operator in graph.operators for index in operator.outputs]
    if layer is not None:
        graph.outputs = [_chosen(graph, made, layer)]
    if not set(graph.outputs) & set(made):
        raise Refused("its output is a constant")
    needed, kept = set(graph.outputs), []
    for operator in reversed(graph.operators):
        if needed.intersection(operator.outputs):
            kept.append(operator)
            needed.update(operator.inputs)
    graph.operators = kept[::-1]


def _chosen(graph: Any, made: list[int], layer: str) -> int:
    """The tensor called `layer`; TensorFlow Lite joins the names of what it fused with `;`."""
    names = {index: _name(graph, index) for index in made}
    found = [index for index, name in names.items() if name == layer]
    found = found or [index for index, name in names.items() if layer == name.partition(";")[0]]
    if len(found) != 1:
        last = [name.partition(";")[0] for name in names.values()][::-1]
        have = f"{len(found)} tensors" if found else "no tensor"
        raise Refused(f"it has {have} called {layer!r}; its last ones are {named(last)}")
    return found[0]


def _name(graph: Any, index: int) -> str:
    return bytes(graph.tensors[index].name or b"").decode(errors="replace")


def _fix_input(graph: Any, data: tuple[int, ...]) -> Fit:
    """Write the size of a window into the input."""
    inputs = _or_empty(graph.inputs)
    if len(inputs) != 1:
        names = named([_name(graph, index) for index in inputs])
        raise Refused(f"it has {len(inputs)} inputs ({names}); one is expected, the window")
    tensor = graph.tensors[inputs[0]]
    if tensor.type != schema.TensorType.FLOAT32:
        kinds = {v: k for k, v in vars(schema.TensorType).items() if not k.startswith("_")}
        kind = kinds.get(tensor.type, "of an unknown type").lower()
        raise Refused(f"its input is {kind}; float32 samples are expected")
    shape = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    laid = fit(data, [None if size < 0 else size for size in _or_empty(shape)])
    tensor.shape = np.array(laid.shape, np.int32)
    tensor.shapeSignature = None
    if laid.open_batch:
        tensor.shapeSignature = np.array([-1, *laid.shape[1:]], np.int32)
    return laid


def _run(path: Path, signals: F32, laid: Fit) -> F32:
    """What TensorFlow Lite's own float kernels say, float32 [K, D]."""
    kernels = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = tf.lite.Interpreter(str(path), experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]

    def call(window: F32) -> Any:
        interpreter.set_tensor(source, window)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return rows(call, signals, laid)
