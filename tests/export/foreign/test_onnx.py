"""ONNX files, which need no TensorFlow; what is refused; and what is kept."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeaudio.errors import (
    EdgeAudioError,
    MissingWeightsError,
    ModelFileError,
    OutputExistsError,
)
from edgeaudio_export import foreign
from edgeaudio_export.foreign import (
    FRONTENDS,
    ForeignExtractor,
    import_model,
    importing,
    load,
    present,
    save,
)
from edgeaudio_export.foreign.request import Converted
from tests.export.foreign.conftest import embed, sounds

WINDOW = 4000
RNG = np.random.default_rng(5)
KERNEL = RNG.normal(size=(WINDOW, 6)).astype(np.float32) / 60
BIAS = RNG.normal(size=6).astype(np.float32)


def dense(
    shape: tuple[object, ...] = ("N", WINDOW), opset: int = 17, kernel: np.ndarray = KERNEL
) -> onnx.ModelProto:
    """relu(samples @ kernel + bias), flattened first."""
    flat = helper.make_node("Reshape", ["x", "shape"], ["flat"])
    nodes = [
        flat,
        helper.make_node("Gemm", ["flat", "kernel", "bias"], ["odds"]),
        helper.make_node("Relu", ["odds"], ["y"]),
    ]
    constants = {
        "shape": np.array([-1, len(kernel)], np.int64),
        "kernel": kernel,
        "bias": BIAS,
    }
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "dense",
        [value("x", TensorProto.FLOAT, list(shape))],
        [value("y", TensorProto.FLOAT, [None, 6])],
        [numpy_helper.from_array(v, n) for n, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def written(tmp_path: Path, model: onnx.ModelProto) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def imported(path: Path, **options: str) -> ForeignExtractor:
    return import_model(path, name="mine", sample_rate=16_000, window=WINDOW, **options)


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 20])
@pytest.mark.parametrize("shape", [("N", WINDOW), (1, 1, WINDOW), (WINDOW,), (None, WINDOW, 1)])
def test_onnx(tmp_path: Path, shape: tuple[object, ...], opset: int) -> None:
    extractor = imported(written(tmp_path, dense(shape, opset)))
    pcm = sounds(WINDOW)
    assert np.abs(embed(extractor, pcm) - np.maximum(pcm @ KERNEL + BIAS, 0)).max() <= 1e-5
    assert (extractor.kind, extractor.dimensions) == ("onnx", 6)
    assert {o.domain: o.version for o in extractor.model.opset_import} == {"": 17}


def test_tensor_inside(tmp_path: Path) -> None:
    path = written(tmp_path, dense())
    extractor = imported(path, layer="odds")
    assert embed(extractor, sounds(WINDOW)).min() < 0
    with pytest.raises(ModelFileError, match="no tensor 'nose'; its last ones are y, odds"):
        imported(path, layer="nose")


def test_double_precision_input(tmp_path: Path) -> None:
    extractor = imported(written(tmp_path, dense()))
    model = extractor.build(TensorProto.DOUBLE)
    onnx.checker.check_model(model, full_check=True)
    from edgeaudio.network import open_session

    session = open_session(model.SerializeToString())
    found = session.run(None, {"pcm": sounds(WINDOW).astype(np.float64)})[0]
    assert np.array_equal(found, embed(extractor, sounds(WINDOW)))


@pytest.mark.parametrize("name", list(FRONTENDS))
def test_frontends(tmp_path: Path, name: str) -> None:
    frontend = FRONTENDS[name]
    cells = frontend.spec.frames * frontend.spec.bands
    kernel = np.random.default_rng(2).normal(size=(cells, 6)).astype(np.float32) / cells
    path = written(tmp_path, dense(("N", 1, frontend.spec.frames, frontend.spec.bands), 17, kernel))
    extractor = import_model(
        path,
        name="mine",
        sample_rate=frontend.sample_rate,
        window=frontend.spec.window,
        frontend=name,
    )
    assert extractor.frontend == name
    assert embed(extractor, sounds(frontend.spec.window)).shape == (3, 6)


def test_a_batch_of_one_inside_is_noticed(tmp_path: Path) -> None:
    """An open input before a fixed reshape, as converters leave it."""
    model = dense()
    shape = numpy_helper.from_array(np.array([1, WINDOW], np.int64), "shape")
    model.graph.initializer[0].CopyFrom(shape)
    pcm = sounds(WINDOW)
    found = embed(imported(written(tmp_path, model)), pcm)
    assert np.abs(found - np.maximum(pcm @ KERNEL + BIAS, 0)).max() <= 1e-5


def test_windows_that_mix_are_kept_apart(tmp_path: Path) -> None:
    """A network that subtracts the mean over all windows gives each its own result."""
    model = dense()
    model.graph.node[0].output[0] = "together"
    mean = helper.make_node("ReduceMean", ["together"], ["mean"], axes=[0])
    model.graph.node.insert(1, helper.make_node("Sub", ["together", "mean"], ["centred"]))
    model.graph.node.insert(1, mean)
    model.graph.node.insert(3, helper.make_node("Add", ["centred", "together"], ["flat"]))
    pcm = sounds(WINDOW)
    found = embed(imported(written(tmp_path, model)), pcm)
    assert np.abs(found - np.maximum(pcm @ KERNEL + BIAS, 0)).max() <= 1e-5


def test_a_broken_conversion_is_refused_with_figures(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = importing.run_worker

    def broken(*arguments: object) -> Converted:
        converted = honest(*arguments)  # type: ignore[arg-type]
        for tensor in converted.network.graph.initializer:
            if tensor.name == "kernel":
                kernel = numpy_helper.to_array(tensor) * np.float32(1.001)
                tensor.CopyFrom(numpy_helper.from_array(kernel, "kernel"))
        return converted

    monkeypatch.setattr(importing, "run_worker", broken)
    with pytest.raises(ModelFileError, match=r"relative +\S+ +\(limit 1e-05\)  FAILS") as caught:
        imported(written(tmp_path, dense()))
    assert "does not compute in ONNX Runtime" in str(caught.value)
    assert "silence" in str(caught.value)
    assert not home.exists()


def test_no_numbers_and_nothing_but_zeros(tmp_path: Path) -> None:
    model = dense()
    model.graph.node[-1].op_type = "Log"
    with pytest.raises(ModelFileError, match="no numbers for noise"):
        imported(written(tmp_path, model))
    zero = dense(kernel=np.zeros_like(KERNEL))
    bias = numpy_helper.from_array(np.full(6, -1, np.float32), "bias")
    zero.graph.initializer[2].CopyFrom(bias)
    with pytest.raises(ModelFileError, match="nothing but zeros"):
        imported(written(tmp_path, zero))


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def custom(model: onnx.ModelProto) -> None:
    model.graph.node[-1].domain = "com.example"
    model.opset_import.add(domain="com.example", version=1)


def integers(model: onnx.ModelProto) -> None:
    model.graph.node[-1].CopyFrom(helper.make_node("ArgMax", ["odds"], ["y"], axis=1))


def two_inputs(model: onnx.ModelProto) -> None:
    model.graph.initializer.pop(2)
    model.graph.input.append(helper.make_tensor_value_info("bias", TensorProto.FLOAT, [6]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (external, "part of it lies in another file"),
        (custom, "operators that are not ONNX's own: com.example.Relu"),
        (integers, "'y' is int64; float32 is expected"),
        (two_inputs, r"2 inputs \(x, bias\)"),
        (lambda model: model.graph.node.pop(), "ONNX's checker refuses it"),
    ],
)
def test_refused(tmp_path: Path, change, reason: str) -> None:
    model = dense()
    change(model)
    with pytest.raises(ModelFileError, match=f"can't be imported: .*{reason}"):
        imported(written(tmp_path, model))


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch exploded",)


def hostile_files(folder: Path) -> dict[str, str]:
    """Name of a file and what is said of it."""
    with zipfile.ZipFile(folder / "zeros.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", bytes(1 << 20))
    with zipfile.ZipFile(folder / "torch.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb()))
    (folder / "bomb.h5").write_bytes(pickle.dumps(Bomb()))
    (folder / "bomb.onnx").write_bytes(pickle.dumps(Bomb()))
    (folder / "zeros.onnx").write_bytes(bytes(100_000))
    (folder / "text.tflite").write_text("no model\n" * 100)
    (folder / "empty.h5").write_bytes(b"")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe.onnx")
    return {
        "torch.pt": "no Keras model; unpack it first",
        "bomb.h5": "a pickle, which could run any code",
        "bomb.onnx": "not ONNX",
        "zeros.onnx": "not ONNX",
        "text.tflite": "no Keras model",
        "empty.h5": "empty",
        "folder": "without saved_model.pb",
        "pipe.onnx": "neither a regular file",
        "missing.h5": "No such file",
    }


def test_hostile_files(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, reason in hostile_files(tmp_path).items():
        with pytest.raises(ModelFileError, match=f"{name} can't be (imported|read): .*{reason}"):
            imported(tmp_path / name)
    assert not (tmp_path / "exploded").exists()
    assert not home.exists()


def test_zip_of_zeros(built: Path, tmp_path: Path) -> None:
    hostile_files(tmp_path)
    with pytest.raises(ModelFileError, match="it lacks metadata.json"):
        imported(tmp_path / "zeros.keras")


def test_damaged_onnx(tmp_path: Path) -> None:
    whole = dense().SerializeToString()
    path = tmp_path / "cut.onnx"
    for share in (0.1, 0.6, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ModelFileError, match="can't be imported"):
            imported(path)


@pytest.mark.parametrize("name", ["", "Mine", "a b", "a@b", "../a", "vggish", "kumar", "x" * 64])
def test_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(EdgeAudioError, match=r"can't be called|of edgeaudio's own"):
        import_model(tmp_path / "none", name=name, sample_rate=16_000, window=WINDOW)
    with pytest.raises(EdgeAudioError, match=r"can't be called|of edgeaudio's own"):
        load(name)


def test_options(tmp_path: Path) -> None:
    path = written(tmp_path, dense())
    with pytest.raises(EdgeAudioError, match="no front-end 'nose' .*; there are: openl3-linear"):
        imported(path, frontend="nose")
    for rate, window in ((0, WINDOW), (16_000, 0), (16_000, -5)):
        with pytest.raises(EdgeAudioError, match="expected"):
            import_model(path, name="mine", sample_rate=rate, window=window)


def test_kept_and_found_again(tmp_path: Path) -> None:
    assert present() == {}
    with pytest.raises(MissingWeightsError, match="weights import --as mine FILE"):
        load("mine")
    extractor = imported(written(tmp_path, dense()), licence="CC0-1.0")
    path = save(extractor)
    assert path == foreign.path_of("mine")
    found = load("mine")
    assert found == extractor
    assert np.array_equal(embed(found, sounds(WINDOW)), embed(extractor, sounds(WINDOW)))
    assert present() == {"mine": extractor.facts}
    assert [p.name for p in path.parent.iterdir()] == ["mine.onnx"]
    metadata = {e.key: e.value for e in onnx.load(path).metadata_props}
    assert json.loads(metadata["edgeaudio.extractor"])["licence"] == "CC0-1.0"


def test_never_replaced_unasked(tmp_path: Path) -> None:
    extractor = imported(written(tmp_path, dense()))
    before = save(extractor).read_bytes()
    other = imported(written(tmp_path, dense()), layer="odds")
    with pytest.raises(OutputExistsError):
        save(other)
    assert foreign.path_of("mine").read_bytes() == before
    save(other, overwrite=True)
    assert load("mine").digest == other.digest


def test_changed_or_renamed_file(tmp_path: Path) -> None:
    path = save(imported(written(tmp_path, dense())))
    data = bytearray(path.read_bytes())
    other = path.with_name("other.onnx")
    other.write_bytes(data)
    with pytest.raises(ModelFileError, match="holds the extractor 'mine'"):
        load("other")
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match="digest does not match"):
        load("mine")
    assert present() == {"mine": None, "other": None}


def test_digest_tells_source_and_options_apart(tmp_path: Path) -> None:
    path = written(tmp_path, dense())
    whole, again, inner = imported(path), imported(path), imported(path, layer="odds")
    assert whole.digest == again.digest != inner.digest
    assert whole.source_sha256 == inner.source_sha256
