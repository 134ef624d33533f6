"""What a TensorFlow function gives in float64: how far off its own float32 arithmetic is.

TensorFlow adds up the cells of a mean one after another: over a spectrogram of 6000 cells it is
off by 3e-5, all by itself. A conversion is not to blame for that, so it must be known.
Imported in the worker process alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from edgeaudio.types import F32, F64
from edgeaudio_export.foreign.shapes import Fit

_FLOAT, _DOUBLE = tf.float32.as_datatype_enum, tf.float64.as_datatype_enum
_NORMALISE = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
_NARROW = ("ResizeBilinear", "ResizeBicubic")
_PREFIX = "wide_"  # TensorFlow knows functions by name


def exact_rows(call: Callable[[Any], Any], signals: F32, laid: Fit) -> F64 | None:
    """`call` of each signal in float64, [K, D]; None where some operator has no such kernel."""
    try:
        signature = [tf.TensorSpec(laid.dimensions, tf.float32)]
        concrete = tf.function(call, input_signature=signature).get_concrete_function()
        frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
        graph = frozen.graph.as_graph_def()
        _widen(graph)
        wide = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
        run = wide.prune(frozen.inputs[0].name, frozen.outputs[0].name)
        found = [
            np.asarray(run(tf.constant(laid.lay(signal), tf.float64)), np.float64).reshape(-1)
            for signal in signals
        ]
        return np.stack(found)
    except Exception:  # whatever TensorFlow raises; the limit stays as it is
        return None


def _widen(graph: Any) -> None:
    """Every float32 in a GraphDef becomes float64."""
    _spell_out(graph)
    nodes = list(graph.node)
    for function in graph.library.function:
        nodes += function.node_def
        function.signature.name = _PREFIX + function.signature.name
        for argument in (*function.signature.input_arg, *function.signature.output_arg):
            if argument.type == _FLOAT:
                argument.type = _DOUBLE
    for node in nodes:
        if node.op in _NARROW:
            raise ValueError("its kernels give float32 whatever they take")
        for value in node.attr.values():
            if value.type == _FLOAT:
                value.type = _DOUBLE
            if value.HasField("func"):
                value.func.name = _PREFIX + value.func.name
            if value.HasField("tensor") and value.tensor.dtype == _FLOAT:
                wide = tf.make_ndarray(value.tensor).astype(np.float64)
                value.tensor.CopyFrom(tf.make_tensor_proto(wide))
            if value.HasField("list"):
                value.list.type[:] = [_DOUBLE if t == _FLOAT else t for t in value.list.type]


def _spell_out(graph: Any) -> None:
    """Batch normalisation, which has no float64 kernel, in plain operators."""
    for node in [n for n in graph.node if n.op in _NORMALISE]:
        name, (x, scale, offset, mean, variance) = node.name, node.input[:5]
        if node.attr["is_training"].b or node.attr["data_format"].s == b"NCHW":
            raise ValueError("not plain")
        epsilon = graph.node.add(name=f"{name}/epsilon", op="Const")
        epsilon.attr["dtype"].type = _FLOAT
        epsilon.attr["value"].tensor.CopyFrom(
            tf.make_tensor_proto(np.float32(node.attr["epsilon"].f))
        )
        node.Clear()

        def add(op: str, *inputs: str, to: str) -> str:
            new = graph.node.add(name=to, op=op, input=inputs)
            new.attr["T"].type = _FLOAT
            return to

        widened = add("AddV2", variance, epsilon.name, to=f"{name}/variance")
        factor = add("Mul", add("Rsqrt", widened, to=f"{name}/rsqrt"), scale, to=f"{name}/factor")
        centred = add("Sub", x, mean, to=f"{name}/centred")
        add("AddV2", add("Mul", centred, factor, to=f"{name}/scaled"), offset, to=name)
    kept = [node for node in graph.node if node.op]
    del graph.node[:]
    graph.node.extend(kept)
