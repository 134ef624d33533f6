"""Foreign ONNX graphs: which are taken at all, and how they are brought into our form.

Taken are graphs of ONNX's own operators with all data inside. Nothing in them can run code or
open a file.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.shape_inference import InferenceError

from edgeaudio_export.foreign.request import Refused, named
from edgeaudio_export.graphs import OPSET

MAX_NODES = 100_000

_DOMAINS = ("", "ai.onnx")
_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
_PAD_AXES = 3  # index of the input that opset 18 added


def parse(data: bytes) -> ModelProto:
    """A serialised ONNX model. Raises Refused if it is none."""
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError):
        raise Refused("it is not ONNX, or it is damaged") from None
    if not model.graph.node:
        raise Refused("it is not ONNX, or its graph is empty")
    return model


def check_plain(model: ModelProto) -> None:
    """Raise Refused unless `model` consists of ONNX's own operators, with all data inside."""
    nodes = list(all_nodes(model.graph))
    if len(nodes) > MAX_NODES:
        raise Refused(f"its graph has {len(nodes)} nodes; at most {MAX_NODES} are taken")
    foreign = sorted({f"{n.domain}.{n.op_type}" for n in nodes if n.domain not in _DOMAINS})
    if foreign:
        raise Refused(f"it uses operators that are not ONNX's own: {named(foreign)}")
    if model.functions:
        raise Refused("it brings operators of its own (ONNX functions); export it without them")
    if any(t.data_location == TensorProto.EXTERNAL for t in _tensors(model.graph)):
        raise Refused("part of it lies in another file; save it as one file")
    opset = opset_of(model)
    unknown = sorted({n.op_type for n in nodes if not _is_known(n.op_type, opset)})
    if unknown:
        raise Refused(
            f"there is no operator {named(unknown)} in ONNX opset {opset}; if that is part of a "
            "spectrogram, save the network behind the log-mel and import it with a front-end"
        )
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, EncodeError) as error:
        raise Refused(f"ONNX's checker refuses it ({_first_line(error)})") from None


def opset_of(model: ModelProto) -> int:
    """Version of ONNX's operators that `model` is written in. Raises Refused without one."""
    versions = {entry.version for entry in model.opset_import if entry.domain in _DOMAINS}
    if len(versions) != 1:
        raise Refused("it does not say in which version of ONNX it is written")
    return int(versions.pop())


def to_opset(model: ModelProto) -> ModelProto:
    """`model` in our opset. Raises Refused where it can't be brought there.

    What comes out must be held against the source by running both.
    """
    opset = opset_of(model)
    if opset == OPSET:
        return model
    try:
        if opset < OPSET:
            found: ModelProto = onnx.version_converter.convert_version(model, OPSET)
        else:
            found = _lowered(model)
        onnx.checker.check_model(found, full_check=True)
    except (RuntimeError, ValueError, InferenceError, onnx.checker.ValidationError) as error:
        raise Refused(
            f"it is written in ONNX opset {opset} and can't be brought to {OPSET} "
            f"({_first_line(error)}); export it in opset {OPSET}"
        ) from None
    return found


def _lowered(model: ModelProto) -> ModelProto:
    """A later opset's graph in ours, where only the form of its operators changed since."""
    found = ModelProto()
    found.CopyFrom(model)
    constants = {t.name: t for t in found.graph.initializer}
    for node in found.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    for node in all_nodes(found.graph):
        _lower(node, constants)
    del found.opset_import[:]
    found.opset_import.add(domain="", version=OPSET)
    return found


def _lower(node: NodeProto, constants: dict[str, TensorProto]) -> None:
    """To opset 17: axes of reductions are attributes again, Split and Pad have less to say."""
    if node.op_type in {f"Reduce{kind}" for kind in _REDUCTIONS} and len(node.input) == 2:
        if node.input[1] not in constants:
            raise ValueError(f"the axes of {node.op_type} are computed")
        axes = numpy_helper.to_array(constants[node.input[1]]).tolist()
        kept = [a for a in node.attribute if a.name != "noop_with_empty_axes"]
        del node.input[1:], node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute("axes", axes)])
    elif node.op_type == "Split":
        kept = [a for a in node.attribute if a.name != "num_outputs"]
        del node.attribute[:]
        node.attribute.extend(kept)
    elif node.op_type == "Pad" and len(node.input) > _PAD_AXES:
        raise ValueError("Pad names its axes")


def all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """The nodes of a graph and of the graphs inside them."""
    for node in graph.node:
        yield node
        for inner in _subgraphs(node):
            yield from all_nodes(inner)


def prefixed(graph: GraphProto, prefix: str, keep: frozenset[str] = frozenset()) -> GraphProto:
    """A copy in which the names of all tensors and nodes begin with `prefix`, but for `keep`."""
    found = GraphProto()
    found.CopyFrom(graph)
    _prefix(found, prefix, keep)
    return found


def _prefix(graph: GraphProto, prefix: str, keep: frozenset[str]) -> None:
    def new(name: str) -> str:
        return name if not name or name in keep else prefix + name

    for node in graph.node:
        node.name = new(node.name)
        node.doc_string = ""
        node.input[:] = [new(name) for name in node.input]
        node.output[:] = [new(name) for name in node.output]
        for inner in _subgraphs(node):
            _prefix(inner, prefix, keep)
    for item in (*graph.initializer, *graph.input, *graph.output):
        item.name = new(item.name)
        item.doc_string = ""
    for sparse in graph.sparse_initializer:
        sparse.values.name = new(sparse.values.name)
    del graph.value_info[:], graph.quantization_annotation[:]


def pruned(graph: GraphProto, output: str) -> tuple[list[NodeProto], list[TensorProto]]:
    """The nodes and constants of `graph` that `output` needs, in their order."""
    needed, kept = {output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(_read_by(node))
    return kept[::-1], [t for t in graph.initializer if t.name in needed]


def _read_by(node: NodeProto) -> set[str]:
    """What a node and the graphs inside it may read."""
    names = set(node.input)
    for graph in _subgraphs(node):
        names.update(output.name for output in graph.output)
        for inner in graph.node:
            names |= _read_by(inner)
    return names


def _subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Every constant of a graph, wherever it is kept."""
    graphs = [graph, *(inner for node in all_nodes(graph) for inner in _subgraphs(node))]
    for part in graphs:
        yield from part.initializer
        for sparse in part.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for node in part.node:
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors)
                for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                    yield from (sparse.values, sparse.indices)


def _is_known(operator: str, opset: int) -> bool:
    try:
        onnx.defs.get_schema(operator, opset, "")
    except onnx.defs.SchemaError:
        return False
    return True


def _first_line(error: Exception) -> str:
    lines = str(error).strip().split("\n")
    return (lines[0][:200] or type(error).__name__).rstrip(".: ")
