"""`export --quantize`, on a small network of somebody else's, and what becomes of the file."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import onnxruntime
import pytest

from edgeaudio import load_model
from edgeaudio.model import whole_graph_results
from edgeaudio_export.quantised import this_target
from tests.cli.command import edgeaudio, objects
from tests.export.small import small_network

OTHER = "arm64" if this_target() != "arm64" else "x86-64"


@pytest.fixture(scope="module")
def trained(engine_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the head `small.head`; EDGEAUDIO_HOME lies in it."""
    folder = tmp_path_factory.mktemp("int8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEAUDIO_HOME", str(folder / "home"))
        onnx.save(small_network(), folder / "small.onnx")
        edgeaudio(
            *("weights", "import", "--as", "small", "--sample-rate", 16_000, "--window", 0.975),
            *("--frontend", "yamnet", folder / "small.onnx"),
        )
        arguments = ("--extractor", "small", "-o", folder / "small.head")
        edgeaudio("train", engine_folder, *arguments)
    return folder


@pytest.fixture(autouse=True)
def home(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAUDIO_HOME", str(trained / "home"))


@pytest.fixture(scope="module")
def in_int8(trained: Path, engine_folder: Path) -> tuple[Path, str]:
    """A model file, and what was said when it was written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEAUDIO_HOME", str(trained / "home"))
        path = trained / "int8.onnx"
        out, _ = edgeaudio(
            *("export", "--head", trained / "small.head", "--quantize", "int8"),
            *("--calibrate", engine_folder, "--max-accuracy-drop", 5, "-o", path),
        )
    return path, out


def test_a_file_in_int8(in_int8: tuple[Path, str], trained: Path, engine_folder: Path) -> None:
    path, out = in_int8
    assert f"int8 for {this_target()} beside float32" in out
    assert "centred cosine 0.99" in out
    graph = onnx.load(path).graph
    kinds = {t.data_type for t in graph.initializer}
    assert onnx.TensorProto.INT8 in kinds
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in graph.node}
    found = load_model(path).contract.quantisation
    assert found is not None
    assert found.target == this_target()
    assert found.operators["QLinearConv"] == 2, "the first one stays in float"
    assert len(found.float_layers) == 1
    parity = found.parity
    assert parity.centred_cosine > 0.99
    assert parity.accuracy is not None
    assert parity.accuracy.before - parity.accuracy.after <= 5
    assert set(parity.accuracy.recall_after) == {"good", "heavy_load", "broken"}
    assert parity.windows_agree is not None
    assert parity.windows_agree > 90
    assert parity.after.bytes < 0.6 * parity.before.bytes
    assert all(r.holds for r in whole_graph_results(path))
    out, _ = edgeaudio("verify", path)
    assert "beside float32" in out
    recording = engine_folder / "broken/broken-03.wav"
    assert json.loads(edgeaudio("classify", recording, "-m", path, "--json")[0])["label"]
    session = onnxruntime.InferenceSession(path)
    assert [o.name for o in session.get_outputs()] == ["embedding", "likelihood"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--quantize", "int8"), "--quantize int8 needs recordings: --calibrate DATA."),
        (("--quantize", "auto"), "--quantize auto needs recordings: --calibrate DATA."),
        (("--target", "arm64"), "--target is for int8; add --quantize"),
        (("--quantize", "int8", "--max-accuracy-drop", "nan"), "nan is no number"),
    ],
)
def test_requests_that_make_no_sense(
    trained: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    path = tmp_path / "m.onnx"
    _, err = edgeaudio("export", "--head", trained / "small.head", *options, "-o", path, status=2)
    assert message in err
    assert not path.exists()


def test_nothing_to_quantise(engine_head_path: Path, engine_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    arguments = ("--head", engine_head_path, "--calibrate", engine_folder, "-o", path)
    _, err = edgeaudio("export", *arguments, "--quantize", "int8", status=2)
    assert "othing to quantise" in err
    assert not path.exists()
    out, _ = edgeaudio("export", *arguments, "--quantize", "auto")
    assert "float32 is exported. There is nothing to quantise" in out
    assert load_model(path).contract.arithmetic == "float32"


def test_for_another_processor_both_are_written(
    trained: Path, engine_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    arguments = ("--head", trained / "small.head", "--calibrate", engine_folder, "-o", path)
    arguments += ("--max-accuracy-drop", 5)
    out, _ = edgeaudio("export", *arguments, "--quantize", "auto", "--target", OTHER)
    files = {p.name: load_model(p).contract.arithmetic for p in tmp_path.glob("*.onnx")}
    other = "m.int8.onnx" if OTHER == "arm64" else "m.float32.onnx"
    assert set(files) == {"m.onnx", other}
    assert set(files.values()) == {"int8", "float32"}
    assert f"edgeaudio bench --model m.onnx --model {other}" in out
    _, err = edgeaudio("export", *arguments, "--quantize", "auto", "--target", OTHER, status=2)
    assert "exists already" in err


def test_bench(in_int8: tuple[Path, str]) -> None:
    out, _ = edgeaudio("bench", "--model", in_int8[0], "--seconds", 1, "--streams", 3, "--json")
    (found,) = objects(out)
    assert found["arithmetic"] == "int8"
    for name in ("frontend_ms", "network_ms", "head_ms", "pipeline_ms", "latency_ms"):
        assert 0 < found[name]["p50"] <= found[name]["p95"] <= found[name]["p99"], name
    assert found["rtf"] > 0
    assert found["streams_per_core"] == pytest.approx(1 / found["core_share"], rel=0.02, abs=1)
    assert found["rss_mb"] > 20
    assert 0 < found["start_s"] < 30
    assert found["streams"]["count"] == 3
    out, _ = edgeaudio("bench", "--model", in_int8[0], "--seconds", 1)
    assert "whole pipeline" in out
    assert "This machine can" in out
    _, err = edgeaudio("bench", "-m", in_int8[0], "-m", "missing.onnx", status=3)
    assert "missing.onnx can't be read" in err
    _, err = edgeaudio("bench", "-m", in_int8[0], "--hop", 90, status=2)
    assert "hops of up to 60 s" in err


def test_bench_of_an_extractor_alone(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "alone.onnx"
    edgeaudio("export", "--extractor", "small", "-o", path)
    (found,) = objects(edgeaudio("bench", "--model", path, "--seconds", 1, "--json")[0])
    assert found["head_ms"] is None
    assert found["start_s"] is None
    assert found["pipeline_ms"]["p50"] > 0
