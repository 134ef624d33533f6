from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import onnx
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC

from edgeaudio import seal
from edgeaudio.errors import EdgeAudioError, ModelFileError, OutputExistsError
from edgeaudio.model import load_model
from edgeaudio.network import open_session
from edgeaudio_export.heads import HeadFile, read_head, save_sklearn, write_head


def test_round_trip(engine_head: HeadFile, engine_head_path: Path) -> None:
    again = read_head(engine_head_path)
    assert again.info == engine_head.info
    assert again.graph == engine_head.graph
    assert again.dimensions == 512


def test_tensors_have_names(engine_head: HeadFile) -> None:
    assert {t.name for t in engine_head.graph.graph.initializer} == {
        "normaliser.offset",
        "normaliser.scale",
        "head.weight",
        "head.bias",
        "calibration.temperature",
    }


@pytest.mark.parametrize("suffix", [".joblib", ".pkl", ".head", ".onnx"])
def test_a_pickle_is_refused_and_never_opened(tmp_path: Path, suffix: str) -> None:
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    path = tmp_path / f"t4{suffix}"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelFileError, match=r"pickled head(.|\n)*save_sklearn\(joblib.load"):
        read_head(path)


def test_a_joblib_file_is_refused_by_its_name_alone(tmp_path: Path) -> None:
    path = tmp_path / "t4.joblib"
    joblib.dump({}, path, compress=3)
    with pytest.raises(ModelFileError, match="pickled head"):
        read_head(path)


def test_other_files(tmp_path: Path, engine_model: Path, engine_head_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is no head file"):
        read_head(engine_model)
    with pytest.raises(ModelFileError, match="can't be read"):
        read_head(tmp_path / "nothing.head")
    damaged = bytearray(engine_head_path.read_bytes())
    damaged[500] ^= 1
    (tmp_path / "bad.head").write_bytes(damaged)
    with pytest.raises(ModelFileError, match="damaged or changed"):
        read_head(tmp_path / "bad.head")


def rewritten(head: HeadFile, path: Path, change, **info) -> Path:
    """`head` with `change(graph)` applied, under a digest that holds."""
    graph = onnx.ModelProto()
    graph.CopyFrom(head.graph)
    change(graph)
    write_head(HeadFile(replace(head.info, **info), graph), path)
    return path


def renamed(graph: onnx.ModelProto) -> None:
    graph.graph.input[0].name = graph.graph.node[0].input[0] = "x"


def foreign_operator(graph: onnx.ModelProto) -> None:
    graph.graph.node[0].domain = "com.microsoft"
    graph.opset_import.add(domain="com.microsoft", version=1)


def no_softmax(graph: onnx.ModelProto) -> None:
    graph.graph.node[-1].op_type = "Identity"
    del graph.graph.node[-1].attribute[:]


def outside(graph: onnx.ModelProto) -> None:
    tensor = graph.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")


@pytest.mark.parametrize("change", [renamed, foreign_operator, no_softmax, outside])
def test_heads_that_are_none(engine_head: HeadFile, tmp_path: Path, change) -> None:
    path = rewritten(engine_head, tmp_path / "t.head", change)
    with pytest.raises(ModelFileError, match=f"{path} can't be used as a head: "):
        read_head(path)


def test_labels_and_graph_must_agree(engine_head: HeadFile, tmp_path: Path) -> None:
    path = rewritten(engine_head, tmp_path / "t.head", lambda g: None, labels=("a", "b"))
    with pytest.raises(ModelFileError, match="expected embedding and 2 likelihoods"):
        read_head(path)


def test_another_schema_version(engine_head: HeadFile, tmp_path: Path) -> None:
    path = rewritten(engine_head, tmp_path / "t.head", lambda g: None, schema_version=7)
    with pytest.raises(ModelFileError, match="schema version 7, this edgeaudio reads 1"):
        read_head(path)


def test_sealed_nonsense(tmp_path: Path) -> None:
    entry = b"\x0a" + bytes([len(seal.KEY)]) + seal.KEY.encode() + b"\x12\x40"
    path = tmp_path / "t.head"
    path.write_bytes(seal.seal(b"\xff\xff nonsense" + entry + seal.BLANK.encode()))
    with pytest.raises(ModelFileError, match="can't be used as a head"):
        read_head(path)
    with pytest.raises(ModelFileError, match="it is no ONNX file"):
        load_model(path)


def test_not_overwritten(engine_head: HeadFile, engine_head_path: Path) -> None:
    with pytest.raises(OutputExistsError):
        write_head(engine_head, engine_head_path)


def embeddings() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.repeat(["bad", "good"], 10)
    return rng.standard_normal((20, 512)) * 9 - 40 + (y == "good")[:, None] * 9, y


@pytest.mark.parametrize("scaled", [True, False])
def test_a_head_from_scikit_learn_comes_over(tmp_path: Path, scaled: bool) -> None:
    X, y = embeddings()
    parts = [MinMaxScaler(), LinearSVC(dual=False)] if scaled else [LinearSVC(dual=False)]
    pipeline = make_pipeline(*parts).fit(X, y)
    path = tmp_path / "t.head"
    estimator = pipeline if scaled else pipeline[-1]
    save_sklearn(estimator, extractor="logmel-stats", fusion="late", path=path)
    head = read_head(path)
    graph = onnx.ModelProto()
    graph.CopyFrom(head.graph)
    values = {"embedding": X.astype(np.float32)}
    found = open_session(graph.SerializeToString()).run(None, values)[0]
    assert np.array_equal(np.array(head.info.labels)[found.argmax(axis=1)], pipeline.predict(X))


def test_what_cannot_come_over_is_named(tmp_path: Path) -> None:
    X, y = embeddings()
    arguments = {"extractor": "logmel-stats", "fusion": "late", "path": tmp_path / "t.head"}
    with pytest.raises(EdgeAudioError, match=r"StandardScaler \+ LinearSVC can't be brought over"):
        save_sklearn(make_pipeline(StandardScaler(), LinearSVC()).fit(X, y), **arguments)
    with pytest.raises(EdgeAudioError, match="MinMaxScaler that clips"):
        save_sklearn(make_pipeline(MinMaxScaler(clip=True), LinearSVC()).fit(X, y), **arguments)
    with pytest.raises(EdgeAudioError, match="takes 100 features, logmel-stats gives 512"):
        save_sklearn(LinearSVC(dual=False).fit(X[:, :100], y), **arguments)
    assert not (tmp_path / "t.head").exists()
