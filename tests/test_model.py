from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeaudio import contract as contracts
from edgeaudio import seal
from edgeaudio.errors import GoldenVectorError, ModelFileError
from edgeaudio.model import Model, check_golden, load_model, whole_graph_results
from edgeaudio.packing import pack
from edgeaudio.types import F32
from edgeaudio_export.assemble import assemble
from edgeaudio_export.extractors import get_extractor
from edgeaudio_export.graphs import get_metadata, set_metadata
from edgeaudio_export.heads import HeadFile


def resealed(source: Path, target: Path, change) -> Path:
    """`source` with `change(model, metadata)` applied, under a digest that holds again."""
    proto = onnx.load(source)
    metadata = get_metadata(proto)
    metadata[seal.KEY] = seal.BLANK
    change(proto, metadata)
    set_metadata(proto, metadata)
    target.write_bytes(seal.seal(proto.SerializeToString()))
    return target


def test_shapes_and_properties(model: Model, noise: F32) -> None:
    windows = noise.reshape(3, 16_000)
    embeddings = model.embed(windows)
    likelihoods = model.classify(embeddings)
    assert (model.sample_rate, model.labels) == (16_000, ("broken", "good", "heavy_load"))
    assert (embeddings.shape, embeddings.dtype) == ((3, 512), np.float32)
    assert (likelihoods.shape, likelihoods.dtype) == ((3, 3), np.float32)
    assert np.allclose(likelihoods.sum(axis=1), 1, atol=1e-6)
    assert (likelihoods >= 0).all()


def test_a_result_does_not_depend_on_the_batch(model: Model, noise: F32) -> None:
    windows = noise.reshape(3, 16_000)
    alone = np.concatenate([model.embed(w[None]) for w in windows])
    assert np.array_equal(model.embed(windows), alone)
    heads = np.concatenate([model.classify(e[None]) for e in alone])
    assert np.array_equal(model.classify(alone), heads)
    assert model.embed(windows[:0]).shape == (0, 512)


@pytest.mark.parametrize("shape", [(16_000,), (2, 15_999), (1, 1, 16_000)])
def test_other_shapes_are_refused(model: Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"windows must have the shape \[N, 16000\], not"):
        model.embed(np.zeros(shape, np.float32))


def test_plain_onnxruntime_gives_the_same(engine_model: Path, model: Model, noise: F32) -> None:
    session = onnxruntime.InferenceSession(engine_model, providers=["CPUExecutionProvider"])
    windows = noise.reshape(3, 16_000)
    embedding, likelihood = session.run(["embedding", "likelihood"], {"pcm": windows})
    assert [t.name for t in session.get_inputs()] == ["pcm"]
    assert np.allclose(embedding, model.embed(windows), atol=1e-5)
    assert np.allclose(likelihood, model.classify(model.embed(windows)), atol=1e-6)


def test_golden_vectors_hold_where_they_were_made(model: Model) -> None:
    results = model.self_test()
    names = [r.name for r in results]
    recorded = [f"recorded: {label}" for label in model.labels]
    assert names == ["noise", "sweep", "hum", "silence", *recorded]
    assert all(r.holds and r.embedding == 0 for r in results)


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_any_changed_byte_is_seen(
    engine_model: Path, tmp_path_factory: pytest.TempPathFactory, where: float, flip: int
) -> None:
    data = bytearray(engine_model.read_bytes())
    data[int(where * len(data))] ^= flip
    path = tmp_path_factory.getbasetemp() / "changed.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match="damaged or changed|not a file that edgeaudio wrote"):
        load_model(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_truncated(engine_model: Path, tmp_path: Path, share: float) -> None:
    data = engine_model.read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ModelFileError, match="cut short|holds 0 bytes|damaged"):
        load_model(path)


def test_files_of_others(tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    with pytest.raises(ModelFileError, match="can't be read: No such file"):
        load_model(path)
    with pytest.raises(ModelFileError, match="is a folder"):
        load_model(tmp_path)
    foreign = get_extractor("logmel-stats").graph().SerializeToString()
    for content in (b"text", pickle.dumps({}), foreign):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match="not a file that edgeaudio wrote"):
            load_model(path)


def test_a_head_file_is_no_model_file(engine_head_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is a head file"):
        load_model(engine_head_path)


def test_without_contract(engine_model: Path, tmp_path: Path) -> None:
    path = resealed(engine_model, tmp_path / "m.onnx", lambda _, meta: meta.pop(contracts.KEY))
    with pytest.raises(ModelFileError, match="carries no contract"):
        load_model(path)


def test_another_schema_version(engine_model: Path, tmp_path: Path) -> None:
    def newer(_, meta: dict[str, str]) -> None:
        meta[contracts.KEY] = json.dumps(json.loads(meta[contracts.KEY]) | {"schema_version": 9})

    with pytest.raises(ModelFileError, match="schema version 9, this edgeaudio reads 1"):
        load_model(resealed(engine_model, tmp_path / "m.onnx", newer))


def test_contract_and_graph_must_be_of_one_size(engine_model: Path, tmp_path: Path) -> None:
    def wider(_, meta: dict[str, str]) -> None:
        meta[contracts.KEY] = meta[contracts.KEY].replace('"dimensions": 512', '"dimensions": 99')

    with pytest.raises(ModelFileError, match="its contract speaks of"):
        load_model(resealed(engine_model, tmp_path / "m.onnx", wider))


def test_another_result_than_at_export_is_refused(engine_model: Path, tmp_path: Path) -> None:
    def louder(_, meta: dict[str, str]) -> None:
        data = json.loads(meta[contracts.KEY])
        data["front_end"]["gain"] *= 1.05
        meta[contracts.KEY] = json.dumps(data)

    path = resealed(engine_model, tmp_path / "m.onnx", louder)
    with pytest.raises(GoldenVectorError, match=r"of 7 golden vectors fail.*Export it anew"):
        load_model(path)
    assert not all(r.holds for r in load_model(path, self_test=False).self_test())


def test_the_whole_graph_is_told_from_another(engine_model: Path, tmp_path: Path) -> None:
    """Listening runs parts of it; `verify` runs it all, as another host would."""
    assert all(r.holds for r in whole_graph_results(engine_model))

    def swap(proto: onnx.ModelProto, _) -> None:
        bias = next(t for t in proto.graph.initializer if t.name == "head.bias")
        bias.raw_data = (np.frombuffer(bias.raw_data, np.float32)[::-1]).tobytes()

    results = whole_graph_results(resealed(engine_model, tmp_path / "m.onnx", swap))
    assert not all(r.holds for r in results)
    assert max(r.embedding for r in results) < 1e-6 < max(r.likelihood for r in results)


def test_nan_does_not_pass_for_equal(model: Model) -> None:
    wrong = replace(model.contract.golden[0], embedding=pack(np.full(512, np.nan, "f4")))
    contract = replace(model.contract, golden=(wrong,))
    assert not Model(contract, model.network, model._head).self_test()[0].holds


def test_nan_in_a_likelihood_does_not_pass_either(model: Model) -> None:
    wrong = replace(model.contract.golden[0], likelihood=pack(np.full(3, np.nan, "f4")))
    contract = replace(model.contract, golden=(wrong,))
    results = Model(contract, model.network, model._head).self_test()
    assert not results[0].holds
    with pytest.raises(GoldenVectorError, match="by 0 in the embedding and nan in a likelihood"):
        check_golden(results, Path("m.onnx"))


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(ModelFileError, match="is no regular file"):
            load_model(path)
    with pytest.raises(ModelFileError, match="can't be read: .*null"):
        load_model("a\0b")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("samples", "AAAA", "a packed array is damaged"),
        ("embedding", "", "a packed array"),
        ("likelihood", pack(np.zeros(2, "f4")), "holds 8 bytes, expected 12"),
    ],
)
def test_golden_vectors_that_make_no_sense(
    engine_model: Path, tmp_path: Path, field: str, value: str, message: str
) -> None:
    def damage(_, meta: dict[str, str]) -> None:
        data = json.loads(meta[contracts.KEY])
        data["golden"][0][field] = value
        meta[contracts.KEY] = json.dumps(data)

    with pytest.raises(ModelFileError, match=message):
        load_model(resealed(engine_model, tmp_path / "m.onnx", damage))


def test_outputs_of_another_type(engine_model: Path, tmp_path: Path) -> None:
    def double(proto: onnx.ModelProto, _) -> None:
        cast = next(n for n in proto.graph.node if n.op_type == "Softmax")
        cast.output[0] = "narrow"
        proto.graph.node.append(
            onnx.helper.make_node("Cast", ["narrow"], ["likelihood"], to=onnx.TensorProto.DOUBLE)
        )
        proto.graph.output[1].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE

    path = resealed(engine_model, tmp_path / "m.onnx", double)
    with pytest.raises(ModelFileError, match=r"its contract speaks of .* of tensor\(float\)"):
        whole_graph_results(path)


def test_weights_in_another_file_are_not_looked_for(engine_model: Path, tmp_path: Path) -> None:
    """The digest would not cover them."""

    def outside(proto: onnx.ModelProto, _) -> None:
        bias = next(t for t in proto.graph.initializer if t.name == "head.bias")
        (tmp_path / "bias.bin").write_bytes(bias.raw_data)
        bias.ClearField("raw_data")
        bias.data_location = onnx.TensorProto.EXTERNAL
        bias.external_data.add(key="location", value=str(tmp_path / "bias.bin"))

    path = resealed(engine_model, tmp_path / "m.onnx", outside)
    with pytest.raises(ModelFileError, match="its graph can't be run here"):
        whole_graph_results(path)


def test_nothing_is_written_to_the_home_folder(engine_model: Path, tmp_path: Path) -> None:
    """Some builds of ONNX Runtime keep usage data there, and send it."""
    program = (
        "import sys, time, edgeaudio; m = edgeaudio.load_model(sys.argv[1]); time.sleep(1);"
        "import onnxruntime; onnxruntime.InferenceSession(sys.argv[1])"
    )
    folders = {name: str(tmp_path / name) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    for folder in folders.values():
        Path(folder).mkdir()
    environment = os.environ | folders
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    command = [sys.executable, "-c", program, str(engine_model)]
    subprocess.run(command, env=environment, check=True)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_an_extractor_on_its_own(tmp_path: Path, noise: F32) -> None:
    path = tmp_path / "extractor.onnx"
    path.write_bytes(assemble(get_extractor("logmel-stats"), None))
    extractor = load_model(path)
    assert extractor.labels == ()
    embeddings = extractor.embed(noise[None, :16_000])
    with pytest.raises(ModelFileError, match="without a head"):
        extractor.classify(embeddings)


def test_two_exports_differ_in_their_dates_alone(engine_head: HeadFile) -> None:
    extractor = get_extractor("logmel-stats")
    first, second = (onnx.load_from_string(assemble(extractor, engine_head)) for _ in range(2))
    assert first.graph == second.graph
