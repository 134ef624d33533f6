"""The facts in the catalogue, against the graphs that are made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeaudio_export.catalogue import CATALOGUE
from edgeaudio_export.costs import gigamacs
from edgeaudio_export.frontends.graph import add_spectrogram
from edgeaudio_export.graphs import GraphBuilder
from edgeaudio_export.overview import overview
from edgeaudio_export.weights import registry
from edgeaudio_export.weights.importers import get_importer

IDS = (
    "logmel-stats",
    "logmel",
    "openl3-linear-env-6144",
    "openl3-mel128-env-512",
    "vggish",
    "kumar",
    "yamnet",
)


def graph_of(id: str) -> onnx.ModelProto:
    """The graph without the values of its weights, which are zeros."""
    entry = CATALOGUE[id]
    options = {group: values[0] for group, values in entry.options.items()}
    arrays = {
        name: np.zeros(shape, np.float32)
        for weights in entry.weights(options)
        for name, shape in get_importer(registry.get(weights).importer).layout.items()
    }
    b = GraphBuilder()
    spectrogram = add_spectrogram(b, "pcm", entry.front_end(options))
    b.rename_last(entry.add(b, spectrogram, arrays, options), "embedding")
    outputs = {"embedding": ["N", entry.dimensions(options)]}
    return b.model(id, {"pcm": ["N", entry.window]}, outputs)


@pytest.mark.parametrize("id", IDS)
def test_multiplications_are_counted(id: str) -> None:
    model = graph_of(id)
    assert gigamacs(model) == pytest.approx(CATALOGUE[id].gigamacs, rel=0.05, abs=0.001)


def test_the_overview_knows_what_the_papers_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEAUDIO_HOME", str(tmp_path))
    lines = {line.id: line for line in overview()}
    assert list(lines) == list(CATALOGUE)
    assert lines["openl3-mel256-music-512"].parameters == 4_689_860
    assert lines["vggish"].parameters == 72_141_184
    assert lines["kumar"].parameters == 5_007_103
    assert lines["yamnet"].parameters == 3_729_481  # batch normalisation is folded
    assert lines["logmel-stats"].parameters == 0
    assert [lines[id].dimensions for id in IDS] == [512, 3136, 6144, 512, 128, 1024, 1024]
    assert lines["kumar"].window_seconds == pytest.approx(1.474, abs=0.0005)
