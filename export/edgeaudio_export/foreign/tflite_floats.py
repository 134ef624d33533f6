"""A TensorFlow Lite model with quantised weights, rewritten as one with float weights.

Where weights alone are quantised, TensorFlow Lite's kernels round their inputs on the fly, and
so does tf2onnx in its own way: the two differ from each other and from float arithmetic by up to
half of the range of a score. Float arithmetic on the same weights is what both approximate, so
that is what is made here: integers become the float32 values that they stand for.
Imported in the worker process alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from edgeaudio.types import F32
from edgeaudio_export.foreign.request import Refused

_TYPES = schema.TensorType
_OPERATORS = schema.BuiltinOperator
_INTEGERS = {_TYPES.INT8: np.int8, _TYPES.UINT8: np.uint8, _TYPES.INT16: np.int16}
_PACKED = {getattr(_TYPES, name, -1) for name in ("INT4", "UINT4", "INT2")} - {-1}
_OTHER_FILE = 1  # offsets beyond: data behind the flatbuffer


def code_of(model: Any, operator: Any) -> int:
    """Which operator it is. The first field is a byte, which later ones did not fit into."""
    code = model.operatorCodes[operator.opcodeIndex]
    return max(int(code.deprecatedBuiltinCode), int(code.builtinCode))


def to_float(model: Any) -> None:
    """Rewrite `model`, a ModelT. Raises Refused where more than weights is quantised."""
    _fix_operators(model)
    for graph in model.subgraphs:
        constants = {i for i, t in enumerate(graph.tensors) if _data(model, t) is not None}
        _check_activations(model, graph, constants)
        for index in constants:
            _dequantise(model, graph.tensors[index])
        _drop_dequantize(model, graph, constants)
    _forget_unused(model)


def _fix_operators(model: Any) -> None:
    for code in model.operatorCodes:
        if max(int(code.deprecatedBuiltinCode), int(code.builtinCode)) != _OPERATORS.CUSTOM:
            continue
        name = (code.customCode or b"").decode(errors="replace")[:80]
        if name.startswith("Flex"):
            raise Refused(
                f"it falls back on full TensorFlow for {name} (a flex operator); convert it to "
                "TensorFlow Lite with its built-in operators alone, or import the SavedModel"
            )
        raise Refused(f"it uses the custom operator {name!r}, which is not taken")
    for graph in model.subgraphs:
        for operator in graph.operators:
            options = operator.builtinOptions
            if getattr(options, "weightsFormat", 0):
                raise Refused("its weights are shuffled for one kind of processor")
            if getattr(options, "asymmetricQuantizeInputs", False):
                # Nothing to TensorFlow Lite once weights are float; tf2onnx rounds all the same.
                options.asymmetricQuantizeInputs = False


def _check_activations(model: Any, graph: Any, constants: set[int]) -> None:
    for index, tensor in enumerate(graph.tensors):
        if tensor.sparsity is not None:
            raise Refused("its weights are kept as sparse tensors, which are not taken")
        if tensor.externalBuffer:
            raise Refused("part of it lies in another file")
        packed = tensor.type in _PACKED
        if packed or (index not in constants and tensor.type in _INTEGERS and _scales(tensor)):
            what = "its weights take 4 bits" if packed else "its activations are integers, too"
            raise Refused(
                f"{what}: that rounding can't be undone; convert the original to TensorFlow Lite "
                "in float, or with quantised weights alone (dynamic range)"
            )


def _scales(tensor: Any) -> int:
    quantisation = tensor.quantization
    if quantisation is None or quantisation.scale is None:
        return 0
    return len(quantisation.scale)


def _data(model: Any, tensor: Any) -> Any:
    """The bytes of a constant, None for what is computed."""
    if not 0 <= tensor.buffer < len(model.buffers):
        raise Refused("it is damaged: a tensor lies where there is no buffer")
    buffer = model.buffers[tensor.buffer]
    if (buffer.offset or 0) > _OTHER_FILE:
        raise Refused("it is larger than 2 GiB, which is not taken")
    return None if buffer.data is None or not len(buffer.data) else buffer.data


def _dequantise(model: Any, tensor: Any) -> None:
    raw = np.asarray(_data(model, tensor), np.uint8)
    if tensor.type == _TYPES.FLOAT16:
        values: F32 = raw.view("<f2").astype(np.float32)
    elif tensor.type in _INTEGERS and _scales(tensor):
        values = _float_values(raw.view(_INTEGERS[tensor.type]), tensor)
    else:
        return
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(values, "<f4").tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1
    tensor.type, tensor.quantization = _TYPES.FLOAT32, None


def _float_values(values: Any, tensor: Any) -> F32:
    """(value - zero point) * scale, with one of each, or one a slice along an axis."""
    shape = tuple(int(size) for size in tensor.shape)
    scale = np.asarray(tensor.quantization.scale, np.float32)
    zero = tensor.quantization.zeroPoint
    zero = np.zeros(len(scale), np.int64) if zero is None or not len(zero) else np.asarray(zero)
    along = [1] * len(shape)
    if len(scale) > 1:
        axis = int(tensor.quantization.quantizedDimension)
        if not 0 <= axis < len(shape) or not len(scale) == len(zero) == shape[axis]:
            raise Refused(f"{len(scale)} scales do not fit its weights of the shape {shape}")
        along[axis] = -1
    if min(shape, default=1) < 0 or int(np.prod(shape)) != values.size:
        raise Refused(f"{values.size} weights do not fit the shape {shape}")
    steps = values.reshape(shape).astype(np.int64) - zero.astype(np.int64).reshape(along)
    found: F32 = steps.astype(np.float32) * scale.reshape(along)
    return found


def _drop_dequantize(model: Any, graph: Any, constants: set[int]) -> None:
    """Whoever reads what DEQUANTIZE makes of a constant reads the constant."""
    renamed, kept = {}, []
    for operator in graph.operators:
        source = int(operator.inputs[0]) if len(operator.inputs) else -1
        if code_of(model, operator) == _OPERATORS.DEQUANTIZE and source in constants:
            renamed[int(operator.outputs[0])] = source
        else:
            kept.append(operator)
    graph.operators = kept
    for operator in kept:
        operator.inputs = [renamed.get(int(i), int(i)) for i in operator.inputs]
    graph.outputs = [renamed.get(int(i), int(i)) for i in graph.outputs]


def _forget_unused(model: Any) -> None:
    """The integers, and notes for other tools."""
    model.metadata, model.metadataBuffer = [], []
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    for index, buffer in enumerate(model.buffers):
        if index not in used:
            buffer.data = None
