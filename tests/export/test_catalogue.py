"""The facts in the catalogue, against the graphs that are made of it."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest

from edgeaudio_export.catalogue import CATALOGUE
from edgeaudio_export.graphs import GraphBuilder
from edgeaudio_export.overview import overview
from edgeaudio_export.weights import registry
from edgeaudio_export.weights.importers import get_importer

IDS = (
    "logmel-stats",
    "openl3-linear-env-6144",
    "openl3-mel128-env-512",
    "vggish",
    "kumar",
    "yamnet",
)


def graph_of(id: str) -> onnx.ModelProto:
    """The graph for one window, without the values of its weights, which are zeros."""
    entry = CATALOGUE[id]
    options = {group: values[0] for group, values in entry.options.items()}
    arrays = {
        name: np.zeros(shape, np.float32)
        for weights in entry.weights(options)
        for name, shape in get_importer(registry.get(weights).importer).layout.items()
    }
    b = GraphBuilder()
    b.rename_last(entry.add(b, "pcm", arrays, options), "embedding")
    outputs = {"embedding": [1, entry.dimensions(options)]}
    return b.model(id, {"pcm": [1, entry.window]}, outputs)


def gigamacs(model: onnx.ModelProto) -> float:
    """Multiplications in convolutions and matrix products."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {t.name: list(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        shapes[value.name] = [d.dim_value for d in value.type.tensor_type.shape.dim]
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            total += math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
        elif node.op_type in ("MatMul", "Gemm"):
            total += math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return total / 1e9


@pytest.mark.parametrize("id", IDS)
def test_multiplications_are_counted(id: str) -> None:
    model = graph_of(id)
    assert gigamacs(model) == pytest.approx(CATALOGUE[id].gigamacs, rel=0.05, abs=0.001)


def test_the_overview_knows_what_the_papers_say() -> None:
    lines = {line.id: line for line in overview()}
    assert list(lines) == list(CATALOGUE)
    assert lines["openl3-mel256-music-512"].parameters == 4_689_860
    assert lines["vggish"].parameters == 72_141_184
    assert lines["kumar"].parameters == 5_007_103
    assert lines["yamnet"].parameters == 3_729_481  # batch normalisation is folded
    assert lines["logmel-stats"].parameters == 0
    assert [lines[id].dimensions for id in IDS] == [512, 6144, 512, 128, 1024, 1024]
    assert lines["kumar"].window_seconds == pytest.approx(1.474, abs=0.0005)
