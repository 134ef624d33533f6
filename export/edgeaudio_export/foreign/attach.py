"""The finished graph: `pcm` -> (front-end ->) foreign network -> `embedding`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.shape_inference import InferenceError

from edgeaudio.spectrogram import SpectrogramSpec
from edgeaudio_export.foreign.plain import check_plain, opset_of, prefixed
from edgeaudio_export.foreign.request import Refused
from edgeaudio_export.foreign.shapes import Fit, fit
from edgeaudio_export.foreign.source import MAX_BYTES
from edgeaudio_export.graphs import IR_VERSION, OPSET

_FRONTEND = "frontend."
_NETWORK = "network."


@dataclass
class _Parts:
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))

    def reshape(self, source: str, shape: list[int], output: str) -> None:
        name = f"{output}.shape"
        self.constants.append(numpy_helper.from_array(np.array(shape, np.int64), name))
        self.add("Reshape", [source, name], output)

    def graph(self, name: str, inputs: dict[str, list[Any]], outputs: dict[str, list[Any]]) -> Any:
        def values(shapes: dict[str, list[Any]]) -> list[onnx.ValueInfoProto]:
            make = helper.make_tensor_value_info
            return [make(n, TensorProto.FLOAT, shape) for n, shape in shapes.items()]

        return helper.make_graph(self.nodes, name, values(inputs), values(outputs), self.constants)


def attach(
    network: ModelProto,
    data: tuple[int, ...],
    window: int,
    dimensions: int,
    *,
    frontend: ModelProto | None = None,
    batched: bool = True,
) -> ModelProto:
    """ONNX in our opset: `pcm` float32 [N, window] -> `embedding` float32 [N, dimensions].

    network: plain ONNX with one input and one output. data: dimensions of what it takes for one
    window. frontend: `pcm` [N, window] -> one output [N, *data], goes before the network.
    batched: hand it all windows at once, if its input is open to that; else one by one.
    Raises Refused if the network is not plain ONNX in our opset.
    """
    check_plain(network)
    if opset_of(network) != OPSET:
        raise Refused(f"its network came out in opset {opset_of(network)} instead of {OPSET}")
    if network.graph.sparse_initializer:
        raise Refused("its weights are kept as sparse tensors, which are not taken")
    parts, source = _Parts(), "pcm"
    if frontend is not None:
        source = _add_frontend(parts, frontend)
    laid = fit(data, _dimensions(network))
    if batched and laid.open_batch:
        _add_network(parts, network, source, data, laid)
        parts.reshape("network", [-1, dimensions], "embedding")
    else:
        _add_scan(parts, network, source, data, laid)
    graph = parts.graph("extractor", {"pcm": ["N", window]}, {"embedding": ["N", dimensions]})
    return _checked(graph)


def attached(front_end: SpectrogramSpec) -> SpectrogramSpec:
    """A front-end of ours as it is called in what `attach` gives."""
    return replace(front_end, tensor=_FRONTEND + front_end.tensor)


def _dimensions(network: ModelProto) -> list[int | None]:
    dims = network.graph.input[0].type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else None for d in dims]


def _add_frontend(parts: _Parts, frontend: ModelProto) -> str:
    """The name of what the front-end gives."""
    part = prefixed(frontend.graph, _FRONTEND, frozenset({"pcm"}))
    parts.nodes.extend(part.node)
    parts.constants.extend(part.initializer)
    return str(part.output[0].name)


def _add_network(
    parts: _Parts, network: ModelProto, source: str, data: tuple[int, ...], laid: Fit
) -> None:
    """`source` [N, *data] to `network`, whatever its dimensions."""
    if laid.transposed:
        parts.add("Transpose", [source], "turned", perm=[0, *range(len(data), 0, -1)])
        source = "turned"
    # A 0 keeps the dimension that is there: the number of windows.
    parts.reshape(source, [0, *laid.shape[1:]] if laid.open_batch else list(laid.shape), "laid")
    body = prefixed(network.graph, _NETWORK)
    parts.add("Identity", ["laid"], body.input[0].name)
    parts.nodes.extend(body.node)
    parts.constants.extend(body.initializer)
    parts.add("Identity", [body.output[0].name], "network")


def _add_scan(
    parts: _Parts, network: ModelProto, source: str, data: tuple[int, ...], laid: Fit
) -> None:
    """`source` [N, *data] to `embedding`, window by window."""
    inner = _Parts()
    inner.reshape("datum", [1, *data], "alone")
    _add_network(inner, network, "alone", data, laid)
    inner.reshape("network", [-1], "one.embedding")
    body = inner.graph("one", {"datum": list(data)}, {"one.embedding": ["D"]})
    parts.add("Scan", [source], "scanned", body=body, num_scan_inputs=1)
    parts.add("Identity", ["scanned"], "embedding")


def _checked(graph: onnx.GraphProto) -> ModelProto:
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    if model.ByteSize() > MAX_BYTES:
        raise Refused("it is larger than the 2 GiB that one ONNX file can hold")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (ValueError, InferenceError, onnx.checker.ValidationError) as error:
        reason = str(error).strip().split("\n")[0][:200].rstrip(".")
        raise Refused(f"ONNX's checker refuses what came out ({reason})") from None
    return model
