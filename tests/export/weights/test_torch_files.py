"""VGGish and Kumar: what torch.save wrote over the years, and files that mean no good."""

from __future__ import annotations

import contextlib
import io
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from edgeaudio.errors import MissingExtraError, WeightsFileError
from edgeaudio_export.weights.importers import kumar, layouts, torchfile, vggish
from tests.export.weights.official import torch_names, write_torch_of_python2

torch = pytest.importorskip("torch")

SMALL = {"a": (2, 3), "b": (4,)}


def load_small(path: Path) -> dict:
    return torchfile.to_arrays(torchfile.load(path), SMALL, path)


def same(found: dict, wanted: dict) -> None:
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == np.float32


def test_vggish(recipe: ModuleType, tmp_path: Path) -> None:
    wanted = torch_names(recipe.vggish())
    state = {name: torch.from_numpy(array) for name, array in wanted.items()}
    torch.save(state, tmp_path / "vggish.pth", _use_new_zipfile_serialization=False)
    same(vggish.read(tmp_path / "vggish.pth"), wanted)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    ("storage", "location"),
    [("torch FloatStorage", "cpu"), ("torch.cuda FloatStorage", "cuda:0")],
)
def test_kumar_as_it_was_saved(
    recipe: ModuleType, tmp_path: Path, prefix: str, storage: str, location: str
) -> None:
    wanted = torch_names(recipe.kumar())
    held = {prefix + name: array for name, array in wanted.items()}
    write_torch_of_python2(tmp_path / "kumar.pkl", held, storage, location)
    same(kumar.read(tmp_path / "kumar.pkl"), wanted)


def test_kumar_as_later_torch_saves_it(arrays_of: Callable, tmp_path: Path) -> None:
    wanted = arrays_of(layouts.KUMAR)
    state = {name: torch.from_numpy(array) for name, array in wanted.items()}
    state["layer1.1.num_batches_tracked"] = torch.tensor(7)
    for new in (False, True):
        torch.save(state, tmp_path / "k.pkl", _use_new_zipfile_serialization=new)
        same(kumar.read(tmp_path / "k.pkl"), wanted)


def test_kumar_names_what_is_wrong(arrays_of: Callable, tmp_path: Path) -> None:
    path = tmp_path / "k.pkl"
    good = {name: torch.from_numpy(a) for name, a in arrays_of(layouts.KUMAR).items()}
    for change, said in (
        ({"layer4.0.weight": torch.zeros(1)}, r"layer4.0.weight has the shape \(1\), expected"),
        ({"extra": torch.zeros(1)}, "holds 'extra', which the network does not have"),
        ({"module.layer1.0.bias": torch.zeros(16)}, "'layer1.0.bias' twice"),
        ({"layer1.0.bias": torch.full((16,), torch.inf)}, "layer1.0.bias holds values"),
        ({"layer1.0.bias": torch.zeros(16, dtype=torch.int32)}, "no plain array of floating"),
        ({"layer1.0.bias": torch.zeros(16).to_sparse()}, "no plain array of floating"),
        ({"layer1.0.bias": torch.zeros(16, device="meta")}, "no plain array of floating"),
        ({"layer1.0.bias": 3}, "no plain array of floating"),
    ):
        torch.save(good | change, path)
        with pytest.raises(WeightsFileError, match=said):
            kumar.read(path)


@pytest.mark.parametrize("kind", ["zip", "legacy", "numpy 1", "tensors", "npz", "doubles"])
def test_pca_parameters(recipe: ModuleType, tmp_path: Path, kind: str) -> None:
    vectors, means = recipe.vggish_pca()
    path = tmp_path / "pca"
    held = {"pca_eigen_vectors": vectors, "pca_means": means.reshape(128, 1)}
    if kind == "npz":
        np.savez_compressed(path, **held)
        path = path.with_suffix(".npz")
    elif kind == "tensors":
        torch.save({name: torch.from_numpy(array) for name, array in held.items()}, path)
    else:
        if kind == "doubles":
            held = {name: np.asfortranarray(a, np.float64) for name, a in held.items()}
        torch.save(held, path, _use_new_zipfile_serialization=kind == "zip")
        if kind == "numpy 1":
            data = path.read_bytes()
            path.write_bytes(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    same(vggish.read_pca(path), {"pca.eigenvectors": vectors, "pca.means": means})


def test_pca_names_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "pca.pth"
    vectors = np.zeros((128, 128), np.float32)
    for held, said in (
        ({"pca_eigen_vectors": vectors}, "lacks pca_means"),
        (
            {"pca_eigen_vectors": vectors, "pca_means": np.zeros(3)},
            r"pca.means has the shape \(3\)",
        ),
        ({"pca_eigen_vectors": vectors, "pca_means": np.zeros(128, "i4")}, "array of 'i4'"),
    ):
        torch.save(held, path)
        with pytest.raises(WeightsFileError, match=said):
            vggish.read_pca(path)
    np.savez(tmp_path / "objects.npz", pca_eigen_vectors=vectors, pca_means=np.array([{}]))
    with pytest.raises(WeightsFileError, match="allow_pickle=False"):
        vggish.read_pca(tmp_path / "objects.npz")


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return (subprocess.check_call, (["touch", str(self.target)],))


@pytest.mark.parametrize("new", [True, False])
def test_runs_nothing(tmp_path: Path, new: bool) -> None:
    target, path = tmp_path / "touched", tmp_path / "bomb.pth"
    torch.save({"a": Bomb(target)}, path, _use_new_zipfile_serialization=new)
    for read in (kumar.read, vggish.read, vggish.read_pca):
        with pytest.raises(WeightsFileError, match="nothing in it was run") as refused:
            read(path)
        assert "check_call, which no file of weights needs" in str(refused.value)
        assert "can still be loaded" not in str(refused.value)
    path.write_bytes(pickle.dumps({"a": Bomb(target)}, protocol=2))
    with pytest.raises(WeightsFileError, match="bomb.pth"):
        kumar.read(path)
    assert not target.exists()


@pytest.mark.parametrize("protocol", [0, 1, 3, 4, 5])
def test_opens_no_other_pickles(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "bomb.pkl"
    path.write_bytes(pickle.dumps({"a": Bomb(tmp_path / "touched")}, protocol=protocol))
    for read in (kumar.read, vggish.read, vggish.read_pca):
        with pytest.raises(WeightsFileError, match=r"no file that torch wrote|neither a \.pth"):
            read(path)
    assert not (tmp_path / "touched").exists()


def test_refuses_a_zip_of_zeros(tmp_path: Path) -> None:
    path = tmp_path / "zeros.pth"
    torch.save({"a": torch.zeros(2, 3)}, path)
    packed = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + bytes(50_000_000 * name.endswith("/0")))
    path.write_bytes(packed.getvalue())
    assert path.stat().st_size < 100_000
    with pytest.raises(WeightsFileError, match="its entries are compressed"):
        load_and_wrap(path)
    with pytest.raises(WeightsFileError, match="neither|expected at most|compressed"):
        vggish.read_pca(path)


def load_and_wrap(path: Path) -> dict:
    """As an importer does it."""
    from edgeaudio_export.weights.importers.common import reading

    with reading(path, "a test"):
        return load_small(path)


def test_refuses_npz_of_zeros(tmp_path: Path) -> None:
    path = tmp_path / "zeros.npz"
    np.savez_compressed(path, pca_eigen_vectors=np.zeros(5_000_000), pca_means=np.zeros(1))
    with pytest.raises(WeightsFileError, match="expected at most 10000000"):
        vggish.read_pca(path)


def test_refuses_more_values_than_the_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "expanded.pth"
    torch.save({"a": torch.zeros(1).expand(1 << 20, 1 << 20), "b": torch.zeros(4)}, path)
    with pytest.raises(WeightsFileError, match="claims more values than it holds"):
        load_small(path)


def test_refuses_a_storage_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "storage.pth"
    arrays = {"a": np.ones((2, 3), np.float32), "b": np.ones(4, np.float32)}
    write_torch_of_python2(path, arrays)
    same(load_small(path), arrays)
    data = path.read_bytes()
    claimed = b"J" + struct.pack("<i", 6) + b"NtQ"
    path.write_bytes(data.replace(claimed, b"J" + struct.pack("<i", 2**31 - 1) + b"NtQ"))
    with pytest.raises(WeightsFileError, match="can't be read as a test"):
        load_and_wrap(path)
    for length in (3, 40, 200, len(data) - 3):
        path.write_bytes(data[:length])
        with pytest.raises(WeightsFileError):
            load_and_wrap(path)


def test_refuses_random_damage(tmp_path: Path) -> None:
    path = tmp_path / "damaged.pth"
    arrays = {"a": np.ones((2, 3), np.float32), "b": np.ones(4, np.float32)}
    write_torch_of_python2(path, arrays)
    old = path.read_bytes()
    torch.save({name: torch.from_numpy(a) for name, a in arrays.items()}, path)
    rng = np.random.default_rng(0)
    for data in (old, path.read_bytes()):
        for _ in range(150):
            bad = bytearray(data)
            for at in rng.integers(4, len(data), 3):
                bad[at] = rng.integers(256)
            path.write_bytes(bytes(bad))
            with contextlib.suppress(WeightsFileError):  # damage to values alone can't be seen
                load_and_wrap(path)


def test_an_old_torch_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({}, tmp_path / "x.pth")
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    with pytest.raises(MissingExtraError, match=r"needs torch 2\.10 or later"):
        torchfile.load(tmp_path / "x.pth")


def test_without_torch_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.pkl").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r'needs torch; .*pip install "\.\[train\]"'):
        kumar.read(tmp_path / "x.pkl")


def test_without_tensorflow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.ckpt").write_bytes(bytes(40) + bytes.fromhex("57fb808b247547db"))
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingExtraError, match=r'needs tensorflow; .*pip install "\.\[tf\]"'):
        vggish.read(tmp_path / "x.ckpt")


class Checkpoint:
    """Stands in for TensorFlow's reader."""

    def __init__(self, arrays: dict) -> None:
        self.arrays = arrays

    def get_variable_to_shape_map(self) -> dict:
        return {name: list(array.shape) for name, array in self.arrays.items()}

    def get_tensor(self, name: str) -> np.ndarray:
        return self.arrays[name]


def test_a_checkpoint_is_turned_into_torch_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = {"features.0.weight": (5, 2, 3, 3), "features.0.bias": (5,)}
    layout |= {"embeddings.0.weight": (7, 4), "embeddings.0.bias": (7,)}
    monkeypatch.setattr(layouts, "VGGISH", layout)
    rng = np.random.default_rng(2)
    held = {
        "vggish/conv1/weights": rng.random((3, 3, 2, 5)),
        "vggish/conv1/biases": rng.random(5),
        "vggish/fc1/fc1_1/weights": rng.random((4, 7)),
        "vggish/fc1/fc1_1/biases": rng.random(7),
        "global_step": np.array(1),
    }
    opened = []
    fake = ModuleType("tensorflow")
    fake.train = ModuleType("train")  # type: ignore[attr-defined]
    fake.train.load_checkpoint = lambda name: opened.append(name) or Checkpoint(held)
    monkeypatch.setitem(sys.modules, "tensorflow", fake)
    path = tmp_path / "v.ckpt.index"
    path.write_bytes(bytes(40) + bytes.fromhex("57fb808b247547db"))
    found = vggish.read(path)
    assert opened == [str(tmp_path / "v.ckpt")]
    assert found.keys() == layout.keys()
    kernel = held["vggish/conv1/weights"].astype(np.float32)
    assert found["features.0.weight"][4, 1, 2, 0] == kernel[2, 0, 1, 4]
    matrix = held["vggish/fc1/fc1_1/weights"].astype(np.float32)
    assert found["embeddings.0.weight"][6, 3] == matrix[3, 6]
    held["vggish/fc1/fc1_1/weights"] = rng.random((7, 4))
    with pytest.raises(WeightsFileError, match=r"fc1_1/weights has the shape \(7,4\)"):
        vggish.read(path)
    del held["vggish/conv1/biases"]
    with pytest.raises(WeightsFileError, match="lacks vggish/conv1/biases"):
        vggish.read(path)
