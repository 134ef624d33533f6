"""A SavedModel folder: scanned, loaded, and cut at an output or a tensor.

Imported in the worker process alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

from edgeaudio.types import F32
from edgeaudio_export.foreign.exact import exact_rows
from edgeaudio_export.foreign.graph_scan import check_functions, check_nodes
from edgeaudio_export.foreign.request import Converted, Refused, named
from edgeaudio_export.foreign.shapes import Fit, fit
from edgeaudio_export.foreign.tensorflow import INPUT, function_to_onnx, graph_to_onnx, rows

_DEFAULT = "serving_default"
_INTERNAL = "__saved_model_init_op"
_INITIALISERS = ("saved_model_main_op", "legacy_init_op", "table_initializer")


def convert(source: Path, layer: str | None, signals: F32, exact: int) -> Converted:
    """Bring a folder into ONNX. layer: an output of its signature, or a tensor inside.

    signals: float32 [K, ...]; exact: how many of them to run in float64, too.
    Raises Refused, and whatever TensorFlow and tf2onnx raise.
    """
    tags, key = _scan(source)
    loaded = tf.saved_model.load(str(source), tags=tags)
    signature = loaded.signatures[key]
    inputs = signature.structured_input_signature[1]
    if len(inputs) != 1:
        raise Refused(f"it has {len(inputs)} inputs ({named(list(inputs))}); expected the window")
    (name, wanted), outputs = next(iter(inputs.items())), list(signature.structured_outputs)
    if wanted.dtype != tf.float32:
        raise Refused(f"its input is {wanted.dtype.name}; float32 samples are expected")
    laid = fit(signals.shape[1:], _dimensions(wanted, signals.shape[1:]))
    if layer is None and len(outputs) != 1:
        raise Refused(f"it has {len(outputs)} outputs ({named(outputs)}); name one with --layer")

    def whole(window: Any) -> Any:
        return signature(**{name: window})

    if layer is not None and layer not in outputs:
        return _inside(whole, layer, laid, signals, exact, outputs)
    chosen = layer or outputs[0]

    def call(window: Any) -> Any:
        return whole(window)[chosen]

    found = rows(lambda window: call(tf.constant(window)), signals, laid)
    return Converted(function_to_onnx(call, laid), found, exact_rows(call, signals[:exact], laid))


def _scan(source: Path) -> tuple[list[str], str]:
    """The tags of the graph to load, and its signature, once all that will run is known."""
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString((source / "saved_model.pb").read_bytes())
    except DecodeError:
        raise Refused("its saved_model.pb is damaged") from None
    metas = [m for m in model.meta_graphs if "serve" in m.meta_info_def.tags]
    metas = metas or list(model.meta_graphs)
    if len(metas) != 1:
        raise Refused(f"it holds {len(metas)} graphs to choose from; expected one to serve")
    meta = metas[0]
    if meta.asset_file_def:
        raise Refused("it needs files besides its variables (assets), which are not taken")
    for key in _INITIALISERS:
        if key in meta.collection_def:
            check_nodes(meta.graph_def, meta.collection_def[key].node_list.value)
    if meta.HasField("object_graph_def"):
        _check_objects(meta)
    else:
        _check_old(meta)
    return list(meta.meta_info_def.tags), _signature(meta)


def _signature(meta: Any) -> str:
    keys = [key for key in meta.signature_def if key != _INTERNAL]
    if _DEFAULT in keys:
        return _DEFAULT
    if len(keys) != 1:
        raise Refused(f"it has {len(keys)} signatures ({named(keys)}) and no {_DEFAULT}")
    return str(keys[0])


def _check_objects(meta: Any) -> None:
    """TensorFlow 2: functions run when they are called, resources when they are loaded."""
    for node in meta.object_graph_def.nodes:
        kind = node.WhichOneof("kind")
        if kind in ("resource", "asset"):
            raise Refused(f"it keeps tables or files besides its variables ({kind})")
        if node.saveable_objects or node.registered_saver:
            raise Refused("part of it is loaded by functions of its own, which is not taken")
    check_functions(meta.graph_def.library, meta.object_graph_def.concrete_functions)


def _check_old(meta: Any) -> None:
    """TensorFlow 1: parts of one graph are run by name."""
    graph, saver = meta.graph_def, meta.saver_def
    if saver.restore_op_name:
        check_nodes(graph, [saver.restore_op_name], restoring=True)
    for signature in meta.signature_def.values():
        check_nodes(graph, [tensor.name for tensor in signature.outputs.values()])


def _dimensions(wanted: Any, data: tuple[int, ...]) -> list[int | None]:
    return [None, *data] if wanted.shape.rank is None else list(wanted.shape)


def _inside(
    whole: Callable[[Any], Any],
    layer: str,
    laid: Fit,
    signals: F32,
    exact: int,
    outputs: list[str],
) -> Converted:
    """Cut the frozen graph at a tensor. The signature's own outputs are known by `outputs`."""
    signature = [tf.TensorSpec(laid.dimensions, tf.float32, name=INPUT)]
    concrete = tf.function(whole, input_signature=signature).get_concrete_function()
    frozen = convert_variables_to_constants_v2(concrete)
    graph = frozen.graph.as_graph_def()
    found = _tensor(frozen.graph, layer)
    if found is None:
        inner = [n.name for n in reversed(graph.node) if n.op not in ("Const", "NoOp", "Identity")]
        short = [name.replace("StatefulPartitionedCall/", "") for name in inner]
        raise Refused(
            f"it has no float32 tensor {layer!r}; its outputs are {named(outputs)}, and its last "
            f"tensors {named(short)}"
        )
    tensor = found.name
    source = frozen.inputs[0].name
    pruned = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), []).prune(
        source, tensor
    )
    values = rows(lambda window: pruned(tf.constant(window)), signals, laid)
    return Converted(
        graph_to_onnx(graph, [source], [tensor]), values, exact_rows(pruned, signals[:exact], laid)
    )


def _tensor(graph: Any, layer: str) -> Any:
    """The float32 tensor called `layer`, or the only one whose name ends so; None without one."""
    wanted, _, index = layer.partition(":")
    found = []
    for operation in graph.get_operations():
        if operation.name == wanted or operation.name.endswith("/" + wanted):
            outputs = operation.outputs
            at = int(index) if index.isdecimal() else 0
            if at < len(outputs) and outputs[at].dtype == tf.float32:
                found.append(outputs[at])
    exact = [tensor for tensor in found if tensor.op.name == wanted]
    found = exact or found
    return found[0] if len(found) == 1 else None
