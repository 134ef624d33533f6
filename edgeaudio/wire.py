"""A serialised ONNX model, read without the onnx package: its metadata, and a part of its graph.

Devices have no onnx package, and do without 20 MB of it. What is needed of protobuf's encoding is
little: a message is a row of fields, each a number, a kind, and a value; unknown ones are passed
on as they are. Numbers of fields are those of onnx.proto, which never change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_MODEL_KEPT = (1, 8)  # IR version, operator sets
_NODE, _GRAPH_NAME, _INITIALIZER, _INPUT, _OUTPUT = 1, 2, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_ATTRIBUTE = 1, 2, 5
_TENSOR_NAME = 8
_SUBGRAPHS = (6, 11)  # of an attribute
_FLOAT, _DOUBLE = 1, 11
_VARINT, _LENGTH = 0, 2
_FIXED = {1: 8, 5: 4}

_MOST_FIELDS = 200_000  # of one message: more nodes and weights than any network has
_DEEPEST = 50  # graphs in graphs


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message. value: its content. whole: with its number and kind before it."""

    number: int
    value: memoryview
    whole: memoryview


def metadata(model: bytes) -> dict[str, str]:
    """What a model says about itself. Raises ValueError for bytes that are no message."""
    found = {}
    for field in fields(memoryview(model)):
        if field.number == _MODEL_METADATA:
            key, value = (_text(part.value) for part in _ordered(field.value, (1, 2)))
            found[key] = value
    return found


def part(
    model: bytes, inputs: dict[str, tuple[str, Sequence[int]]], outputs: Sequence[str]
) -> bytes:
    """The part of a model's graph that makes `outputs` of `inputs`, as a model without metadata.

    inputs: float32 or float64 and shape without the first axis, of tensors anywhere in the graph.
    outputs: of the graph's own outputs. Raises ValueError if they can't be made of these inputs,
    or the bytes are no model.
    """
    top = list(fields(memoryview(model)))
    graphs = [f for f in top if f.number == _MODEL_GRAPH]
    if len(graphs) != 1:
        raise ValueError(f"it holds {len(graphs)} graphs instead of one")
    graph = list(fields(graphs[0].value))
    nodes = [f for f in graph if f.number == _NODE]
    kept, needed = _needed(nodes, set(inputs), outputs)
    constants = {_name(f, _TENSOR_NAME): f for f in graph if f.number == _INITIALIZER}
    needed -= set(inputs)
    missing = needed - set(constants)
    if missing:
        raise ValueError(f"its graph needs {min(missing)!r} besides {', '.join(inputs)}")
    pieces: list[bytes | memoryview] = [f.whole for f in kept]
    pieces += [f.whole for f in graph if f.number == _GRAPH_NAME]
    pieces += [f.whole for name, f in constants.items() if name in needed]
    pieces += [_message(_INPUT, _value_info(n, *kind)) for n, kind in inputs.items()]
    pieces += [f.whole for f in graph if f.number == _OUTPUT and _name(f, 1) in outputs]
    length = sum(map(len, pieces))
    head = [f.whole for f in top if f.number in _MODEL_KEPT]
    return b"".join([*head, _key(_MODEL_GRAPH, _LENGTH), _varint(length), *pieces])


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message in order. Raises ValueError where it is none."""
    at = count = 0
    while at < len(message):
        begin, count = at, count + 1
        if count > _MOST_FIELDS:
            raise ValueError(f"it holds a message of more than {_MOST_FIELDS} fields")
        key, at = _read_varint(message, at)
        kind, value = key & 7, at
        if kind == _VARINT:
            _, at = _read_varint(message, at)
        elif kind == _LENGTH:
            length, value = _read_varint(message, at)
            at = value + length
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise ValueError("it is no ONNX file")
        if at > len(message):
            raise ValueError("it is no whole ONNX file")
        yield Field(key >> 3, message[value:at], message[begin:at])


def _needed(
    nodes: list[Field], inputs: set[str], outputs: Sequence[str]
) -> tuple[list[Field], set[str]]:
    """The nodes on the way to `outputs`, in their order, and the names that none of them gives."""
    wanted, kept = set(outputs) - inputs, []
    made: set[str] = set()
    for node in reversed(nodes):  # they stand in the order in which they run
        given = {_text(f.value) for f in fields(node.value) if f.number == _NODE_OUTPUT}
        if given & wanted:
            kept.append(node)
            made |= given
            wanted |= _used(node.value) - inputs
    return kept[::-1], (wanted - made) - {""}


def _used(node: memoryview, depth: int = 0) -> set[str]:
    """Names that a node takes, those in its subgraphs included."""
    if depth > _DEEPEST:
        raise ValueError(f"its graph holds graphs more than {_DEEPEST} deep")
    found = set()
    for field in fields(node):
        if field.number == _NODE_INPUT:
            found.add(_text(field.value))
        elif field.number == _NODE_ATTRIBUTE:
            for part in fields(field.value):
                if part.number in _SUBGRAPHS:
                    found |= _free(part.value, depth + 1)
    return found


def _free(graph: memoryview, depth: int) -> set[str]:
    """Names that a subgraph takes from around it."""
    used: set[str] = set()
    own: set[str] = set()
    for field in fields(graph):
        if field.number == _NODE:
            used |= _used(field.value, depth)
            own |= {_text(f.value) for f in fields(field.value) if f.number == _NODE_OUTPUT}
        elif field.number == _INITIALIZER:
            own.add(_name(field, _TENSOR_NAME))
        elif field.number == _INPUT:
            own.add(_name(field, 1))
        elif field.number == _OUTPUT:
            used.add(_name(field, 1))
    return used - own


def _name(field: Field, number: int) -> str:
    return next((_text(f.value) for f in fields(field.value) if f.number == number), "")


def _ordered(message: memoryview, numbers: Sequence[int]) -> list[Field]:
    found = {f.number: f for f in fields(message)}
    empty = memoryview(b"")
    return [found.get(number, Field(number, empty, empty)) for number in numbers]


def _text(value: memoryview) -> str:
    return bytes(value).decode("utf-8")


def _value_info(name: str, dtype: str, shape: Sequence[int]) -> bytes:
    """A tensor [N, *shape] as a graph declares it."""
    sizes = [_message(2, b"N"), *(_key(1, _VARINT) + _varint(size) for size in shape)]
    dims = b"".join(_message(1, size) for size in sizes)
    element = _key(1, _VARINT) + _varint(_DOUBLE if dtype == "float64" else _FLOAT)
    return _message(1, name.encode()) + _message(2, _message(1, element + _message(2, dims)))


def _message(number: int, content: bytes) -> bytes:
    return _key(number, _LENGTH) + _varint(len(content)) + content


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("it is no whole ONNX file")
