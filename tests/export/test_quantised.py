"""An extractor in int8 from recordings, beside itself in float32, and what is made of the two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeaudio.errors import DataError, EdgeAudioError, NothingToQuantiseError
from edgeaudio.model import whole_graph_results
from edgeaudio.network import open_network
from edgeaudio.quantisation import Accuracy, Cost, Parity
from edgeaudio_export.assemble import assemble
from edgeaudio_export.datasets import load_dataset
from edgeaudio_export.datasets.recordings import Dataset
from edgeaudio_export.extractors import get_extractor
from edgeaudio_export.golden import various_windows
from edgeaudio_export.lightening import objection
from edgeaudio_export.quantised import LightExtractor, quantised_extractor
from tests.export.small import DIMENSIONS, small_extractor


def silent(text: str) -> None:
    """Nobody is told."""


@pytest.fixture(scope="module")
def dataset(engine_folder: Path) -> Dataset:
    return load_dataset(engine_folder)


@pytest.fixture(scope="module")
def light(dataset: Dataset) -> LightExtractor:
    return quantised_extractor(small_extractor(), dataset, "x86-64", silent)


def embed(extractor, windows: np.ndarray) -> np.ndarray:
    graph = extractor.graph().SerializeToString()
    return open_network(graph, extractor.front_end, extractor.window, DIMENSIONS).embed(windows)


def test_it_stays_close_also_on_sound_that_nobody_recorded(light: LightExtractor) -> None:
    windows = np.stack(various_windows(15_600, 16_000))
    before, after = embed(small_extractor(), windows), embed(light.extractor, windows)
    norms = np.linalg.norm(before - before.mean(axis=0), axis=1)
    assert (np.linalg.norm(before - after, axis=1) < 0.15 * np.maximum(norms, norms.mean())).all()
    assert not np.array_equal(before, after)


def test_the_same_recordings_give_the_same_bytes(light: LightExtractor, dataset: Dataset) -> None:
    again = quantised_extractor(small_extractor(), dataset, "x86-64", silent)
    assert again.extractor.digest == light.extractor.digest
    assert light.extractor.float_digest == small_extractor().digest != light.extractor.digest


def test_the_front_end_stays_in_float64(light: LightExtractor) -> None:
    graph = light.extractor.graph().graph
    kinds = {t.data_type for t in graph.initializer}
    assert {onnx.TensorProto.DOUBLE, onnx.TensorProto.INT8} <= kinds
    with pytest.raises(EdgeAudioError, match="float32 samples alone"):
        light.extractor.graph(onnx.TensorProto.DOUBLE)


def test_the_whole_graph_computes_what_the_parts_do(light: LightExtractor, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(assemble(light.extractor, None))
    results = whole_graph_results(path)
    assert len(results) >= 4
    assert max(r.embedding for r in results) <= 1e-6, "exact layers leave nothing to rounding"


def test_nothing_to_quantise(dataset: Dataset) -> None:
    with pytest.raises(NothingToQuantiseError, match="nothing to quantise"):
        quantised_extractor(get_extractor("logmel-stats"), dataset, "x86-64", silent)


def test_recordings_that_all_fail(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"no sound")
    broken = tuple(replace(r, path=tmp_path / "x.wav") for r in dataset.recordings)
    with pytest.raises(DataError, match="no recording that could calibrate"):
        quantised_extractor(
            small_extractor(), replace(dataset, recordings=broken), "x86-64", silent
        )


def test_various_windows_are_various() -> None:
    windows = various_windows(16_000, 16_000)
    levels = [float(np.sqrt(np.mean(np.square(w, dtype=np.float64)))) for w in windows]
    assert all(w.shape == (16_000,) and w.dtype == np.float32 for w in windows)
    assert all(np.abs(w).max() <= 1 for w in windows)
    assert levels[-1] == 0
    assert max(levels) > 0.3
    assert 0 < sorted(levels)[1] < 0.005


def test_another_label_by_the_users_own_head() -> None:
    cost = Cost(1, 1.0, 1.0)
    same = Accuracy("svm", 5, 100.0, 100.0, {}, {})
    parity = Parity(10, 10, 0.95, 90.0, 94.4, 0.5, same, cost, cost, "")
    assert "by this head 5.6 % of the recordings get another label" in objection(parity, 0.5)
    assert objection(replace(parity, recordings_agree=94.6), 0.5) == ""


@pytest.mark.parametrize(
    ("accuracy", "cosine", "limit", "words"),
    [
        ((90.0, 89.5), 0.9, 0.5, ""),
        ((90.0, 89.5), 0.99, 0.4, "loses 0.50 points of accuracy, at most 0.4 may be lost"),
        ((90.0, 95.0), 0.95, 0.0, ""),
        ((90.0, 95.0), 0.1, 0.0, "centred cosine of 0.100"),
        (None, 0.95, 0.5, ""),
        (None, 0.85, 0.5, "centred cosine of 0.850 to those in float32, at least 0.9"),
    ],
)
def test_objections(
    accuracy: tuple[float, float] | None, cosine: float, limit: float, words: str
) -> None:
    found = Accuracy("svm", 5, *accuracy, {}, {}) if accuracy else None
    cost = Cost(1, 1.0, 1.0)
    parity = Parity(10, 10, cosine, None, None, None, found, cost, cost, "")
    assert (words in objection(parity, limit)) if words else objection(parity, limit) == ""
