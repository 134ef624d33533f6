"""Whether ONNX Runtime takes what was written for int8 as that, and not piece by piece."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import onnx
import onnxruntime as ort

from edgeaudio.errors import EdgeAudioError

INTEGER_OPERATORS = frozenset(
    {
        "QLinearConv",
        "QGemm",
        "QLinearMatMul",
        "MatMulIntegerToFloat",
        "QLinearAdd",
        "QLinearConcat",
    }
)


def optimised(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph that ONNX Runtime makes of `model` on this machine."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(path)
        source = model.SerializeToString()
        ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        return onnx.load_model(path)


def check(model: onnx.ModelProto, layers: dict[str, str]) -> dict[str, int]:
    """How often each integer operator runs.

    layers: by the name of the tensor of their weights in integers, what to call them.
    Raises EdgeAudioError if one of them is computed in floats.
    """
    graph = optimised(model).graph
    readers = {name: node.op_type for node in graph.node for name in node.input}
    fallen = [
        name for weights, name in layers.items() if readers.get(weights) not in INTEGER_OPERATORS
    ]
    if fallen:
        raise EdgeAudioError(
            f"ONNX Runtime {ort.__version__} computes {', '.join(fallen[:5])} in floats, although "
            "written in int8; leave such layers as they are (keep=), or update onnxruntime."
        )
    counts = Counter(node.op_type for node in graph.node)
    return {name: counts[name] for name in sorted(INTEGER_OPERATORS & counts.keys())}
