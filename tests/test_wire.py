"""Parts of a serialised graph, against the onnx package."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgeaudio import wire
from edgeaudio.network import open_session

F = TensorProto.FLOAT


def value(name: str, shape: list[object], kind: int = F) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def model() -> onnx.ModelProto:
    """pcm [N, 4] -> doubled -> embedding [N, 3] -> likelihood, and an `If` that reaches out."""
    constants = {
        "two": np.float32(2),
        "weight": np.arange(12, dtype=np.float32).reshape(4, 3),
        "unused": np.ones(1000, np.float32),
        "yes": np.array(True),
        "seven": np.float32(7),
    }
    branches = [
        helper.make_graph(
            [helper.make_node(op, ["product", "seven"], ["picked"])],
            op,
            [],
            [value("picked", ["N", 3])],
        )
        for op in ("Add", "Sub")
    ]
    nodes = [
        helper.make_node("Mul", ["pcm", "two"], ["doubled"], name="frontend"),
        helper.make_node("MatMul", ["doubled", "weight"], ["product"]),
        helper.make_node(
            "If", ["yes"], ["embedding"], then_branch=branches[0], else_branch=branches[1]
        ),
        helper.make_node("Softmax", ["embedding"], ["likelihood"]),
    ]
    outputs = [value("embedding", ["N", 3]), value("likelihood", ["N", 3])]
    tensors = [numpy_helper.from_array(v, k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "test", [value("pcm", ["N", 4])], outputs, tensors)
    found = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="tests"
    )
    found.metadata_props.add(key="one", value="text ✓")
    found.metadata_props.add(key="empty", value="")
    onnx.checker.check_model(found, full_check=True)
    return found


DATA = model().SerializeToString()
X = np.array([[1, 2, 3, 4], [0, -1, 5, 2]], np.float32)
EMBEDDING = 2 * X @ np.arange(12, dtype=np.float32).reshape(4, 3) + 7


def test_metadata() -> None:
    assert wire.metadata(DATA) == {"one": "text ✓", "empty": ""}


@pytest.mark.parametrize(
    ("inputs", "fed"),
    [
        ({"pcm": ("float32", [4])}, {"pcm": X}),
        ({"doubled": ("float32", [4])}, {"doubled": 2 * X}),
        ({"product": ("float32", [3])}, {"product": EMBEDDING - 7}),
    ],
)
def test_a_part_computes_the_same(
    inputs: dict[str, tuple[str, list[int]]], fed: dict[str, np.ndarray]
) -> None:
    part = wire.part(DATA, inputs, ["embedding"])
    found = onnx.load_model_from_string(part)
    onnx.checker.check_model(found, full_check=True)
    assert not found.metadata_props
    assert [o.name for o in found.graph.output] == ["embedding"]
    assert "unused" not in {t.name for t in found.graph.initializer}
    assert found.opset_import[0].version == 17
    session = open_session(part)
    assert session.get_inputs()[0].shape == ["N", *inputs[next(iter(inputs))][1]]
    assert np.array_equal(session.run(["embedding"], fed)[0], EMBEDDING)


def test_what_a_subgraph_takes_from_around_it_is_kept() -> None:
    part = onnx.load_model_from_string(
        wire.part(DATA, {"doubled": ("float32", [4])}, ["embedding"])
    )
    assert {t.name for t in part.graph.initializer} == {"weight", "yes", "seven"}


def test_float64_inputs() -> None:
    part = onnx.load_model_from_string(wire.part(DATA, {"pcm": ("float64", [4])}, ["embedding"]))
    assert part.graph.input[0].type.tensor_type.elem_type == TensorProto.DOUBLE


def test_a_part_that_needs_more_is_refused() -> None:
    with pytest.raises(ValueError, match="needs 'pcm' besides other"):
        wire.part(DATA, {"other": ("float32", [4])}, ["embedding"])


def test_two_graphs_are_refused() -> None:
    with pytest.raises(ValueError, match="2 graphs instead of one"):
        wire.part(DATA + DATA, {"pcm": ("float32", [4])}, ["embedding"])
    with pytest.raises(ValueError, match="0 graphs"):
        wire.part(b"", {"pcm": ("float32", [4])}, ["embedding"])


def test_graphs_in_graphs_without_end_are_refused() -> None:
    inner = b""
    for _ in range(200):  # a graph with a node with an attribute with a graph
        attribute = wire._message(5, wire._message(6, inner))
        inner = wire._message(1, wire._message(2, b"embedding") + attribute)
    data = wire._message(7, inner)
    with pytest.raises(ValueError, match="graphs more than 50 deep"):
        wire.part(data, {"pcm": ("float32", [4])}, ["embedding"])


def test_a_message_of_endless_fields_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 200000 fields"):
        wire.metadata(b"\x08\x01" * 200_001)


@settings(max_examples=200)
@given(st.integers(0, len(DATA) - 1), st.integers(0, 255), st.booleans())
def test_damage_is_a_value_error_or_harmless(at: int, byte: int, cut: bool) -> None:
    damaged = DATA[:at] if cut else DATA[:at] + bytes([byte]) + DATA[at + 1 :]
    for read in (
        wire.metadata,
        lambda data: wire.part(data, {"pcm": ("float32", [4])}, ["embedding"]),
    ):
        with suppress(ValueError):
            read(damaged)
