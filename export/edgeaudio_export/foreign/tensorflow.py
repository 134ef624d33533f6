"""What the converters of TensorFlow models share. Imported in the worker process alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx

from edgeaudio.types import F32
from edgeaudio_export.foreign.request import Refused
from edgeaudio_export.foreign.shapes import Fit
from edgeaudio_export.graphs import OPSET

tf.get_logger().setLevel(logging.ERROR)
logging.getLogger("tf2onnx").setLevel(logging.ERROR)

INPUT = "window"


def rows(call: Callable[[F32], Any], signals: F32, laid: Fit) -> F32:
    """What the source says of each signal, one at a time, float32 [K, D]."""
    found = [np.asarray(call(laid.lay(signal)), np.float32).reshape(-1) for signal in signals]
    if len({len(row) for row in found}) != 1:
        raise Refused("it gives vectors of different lengths for windows of one length")
    return np.stack(found)


def function_to_onnx(function: Callable[[Any], Any], laid: Fit) -> onnx.ModelProto:
    """ONNX of a function of one tensor with the dimensions of `laid`."""
    signature = (tf.TensorSpec(laid.dimensions, tf.float32, name=INPUT),)
    model = tf2onnx.convert.from_function(
        tf.function(function, input_signature=signature), input_signature=signature, opset=OPSET
    )[0]
    return _completed(model)


def graph_to_onnx(graph: Any, inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    """ONNX of a frozen GraphDef. inputs, outputs: names of tensors (`node:0`)."""
    model = tf2onnx.convert.from_graph_def(
        graph, input_names=inputs, output_names=outputs, opset=OPSET
    )[0]
    return _completed(model)


def tflite_to_onnx(path: str) -> onnx.ModelProto:
    """ONNX of a `.tflite` file."""
    model: onnx.ModelProto = tf2onnx.convert.from_tflite(path, opset=OPSET)[0]
    return model


def _completed(model: onnx.ModelProto) -> onnx.ModelProto:
    """With what tf2onnx leaves as it was: erfc, which is in every GELU."""
    one = "erfc.one"
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Erfc":
            error = f"{node.output[0]}.erf"
            nodes.append(onnx.helper.make_node("Erf", node.input, [error]))
            node = onnx.helper.make_node("Sub", [one, error], node.output)
        nodes.append(node)
    if len(nodes) > len(model.graph.node):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1, np.float32), one))
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    return model
