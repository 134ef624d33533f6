"""OpenL3's .h5 and .h5.gz: the layouts of both releases, and files that mean no good."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest

from edgeaudio.errors import WeightsFileError
from edgeaudio_export.weights.importers import layouts, openl3
from tests.export.weights.official import write_openl3


@pytest.fixture
def arrays(arrays_of: Callable) -> dict:
    return arrays_of(layouts.OPENL3)


@pytest.mark.parametrize("representation", ["linear", "mel256"])
@pytest.mark.parametrize(("offset", "text"), [(0, False), (17, True)])
def test_reads_the_release_by_order(
    recipe: ModuleType, tmp_path: Path, representation: str, offset: int, text: bool
) -> None:
    drawn = {"/".join(key): array for key, array in recipe.openl3(representation).items()}
    path = tmp_path / "openl3.h5"
    write_openl3(path, drawn, offset=offset, text=text)
    packed = tmp_path / "openl3.h5.gz"
    packed.write_bytes(gzip.compress(path.read_bytes(), 1))
    for file in (path, packed):
        found = openl3.read(file)
        assert found.keys() == drawn.keys()
        for name, array in drawn.items():
            np.testing.assert_array_equal(found[name], array)
    assert sum(array.size for array in found.values()) == 4_689_860


def test_leaves_the_spectrogram_of_old_files_out(arrays: dict, tmp_path: Path) -> None:
    mel = np.ones((1025, 128), np.float32)
    write_openl3(tmp_path / "old.h5", arrays, mel=mel)
    found = openl3.read(tmp_path / "old.h5", 128)
    assert found.keys() == arrays.keys()
    np.testing.assert_array_equal(found["conv2d_1/kernel"], arrays["conv2d_1/kernel"])


@pytest.mark.parametrize(("bands", "said"), [(0, "a linear spectrogram"), (256, "256 mel bands")])
def test_an_old_file_tells_what_it_is_for(
    arrays: dict, tmp_path: Path, bands: int, said: str
) -> None:
    path = tmp_path / "old.h5"
    write_openl3(path, arrays, mel=np.ones((1025, 128), np.float32))
    with pytest.raises(WeightsFileError, match=f"for 128 mel bands, expected those for {said}"):
        openl3.read(path, bands)


def test_names_the_first_wrong_shape(arrays: dict, tmp_path: Path) -> None:
    arrays["conv2d_3/kernel"] = np.zeros((3, 3, 64, 64), np.float32)
    write_openl3(tmp_path / "wrong.h5", arrays)
    expected = r"conv2d_3/kernel has the shape \(3,3,64,64\), expected \(3,3,64,128\)"
    with pytest.raises(WeightsFileError, match=expected):
        openl3.read(tmp_path / "wrong.h5")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"conv2d_2/bias": None}, "lacks conv2d_2/bias"),
        ({"conv2d_2/bias": None, "conv2d_2/kernel": None}, "holds 15 layers with weights"),
        ({"conv2d_2/bias": np.full(64, np.nan)}, "conv2d_2/bias holds values that are not finite"),
        ({"conv2d_2/bias": np.full(64, 1e300)}, "conv2d_2/bias holds values that are not finite"),
        ({"conv2d_2/bias": np.zeros(64, "S3")}, "expected floating point"),
        ({"batch_normalization_2/moving_variance": -np.ones(64)}, "negative variances"),
    ],
)
def test_refuses_what_is_no_openl3(arrays: dict, tmp_path: Path, change: dict, said: str) -> None:
    kept = {name: a for name, a in (arrays | change).items() if a is not None}
    write_openl3(tmp_path / "wrong.h5", kept)
    with pytest.raises(WeightsFileError, match=said):
        openl3.read(tmp_path / "wrong.h5")


def test_refuses_a_truncated_file_at_any_length(arrays: dict, tmp_path: Path) -> None:
    write_openl3(tmp_path / "whole.h5", arrays)
    whole = (tmp_path / "whole.h5").read_bytes()
    packed = gzip.compress(whole, 1)
    path = tmp_path / "cut"
    for data in (whole, packed):
        for length in (0, 1, 2, 9, 100, 3000, len(data) // 2, len(data) - 5):
            path.write_bytes(data[:length])
            with pytest.raises(WeightsFileError, match=r"cut (can't be read|holds 0 bytes)"):
                openl3.read(path)


def test_refuses_a_gzip_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openl3, "MAX_UNPACKED", 10_000_000)
    bomb = io.BytesIO()
    with gzip.open(bomb, "wb", compresslevel=9) as file:
        for _ in range(20):
            file.write(bytes(1_000_000))
    (tmp_path / "bomb.h5.gz").write_bytes(bomb.getvalue())
    with pytest.raises(WeightsFileError, match="unpacks to more than 10000000 bytes"):
        openl3.read(tmp_path / "bomb.h5.gz")


def test_refuses_damaged_compression(tmp_path: Path) -> None:
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    body = zlib.compress(b"x" * 1000)[2:-4]
    for data in (head, head + b"\xff" * 50, head + body + struct.pack("<II", 1, 1)):
        (tmp_path / "bad.h5.gz").write_bytes(data)
        with pytest.raises(WeightsFileError, match="can't be read as OpenL3 weights"):
            openl3.read(tmp_path / "bad.h5.gz")


def test_reads_no_dataset_of_a_wrong_size(arrays: dict, tmp_path: Path) -> None:
    path = tmp_path / "huge.h5"
    write_openl3(path, arrays)
    with h5py.File(path, "a") as file:
        group = file["conv2d_1"]
        del group["conv2d_1/kernel:0"]
        group.create_dataset("conv2d_1/kernel:0", shape=(2**40,), dtype="f4", chunks=(1024,))
    with pytest.raises(WeightsFileError, match=r"conv2d_1/kernel has the shape \(1099511627776\)"):
        openl3.read(path)


@pytest.mark.parametrize("kind", ["soft", "external", "storage", "virtual", "chunks", "group"])
def test_follows_nothing_out_of_the_file(arrays: dict, tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / "links.h5", tmp_path / "other.h5"
    write_openl3(path, arrays)
    write_openl3(other, arrays)
    shape, name = (3, 3, 1, 64), "conv2d_1/conv2d_1/kernel:0"
    with h5py.File(path, "a") as file:
        del file[name]
        if kind == "soft":
            file[name] = h5py.SoftLink("/conv2d_2/conv2d_2/kernel:0")
        elif kind == "external":
            file[name] = h5py.ExternalLink(str(other), name)
        elif kind == "storage":
            file.create_dataset(name, shape, "f4", external=[(str(other), 0, 2304)])
        elif kind == "virtual":
            virtual = h5py.VirtualLayout(shape, "f4")
            virtual[...] = h5py.VirtualSource(str(other), name, shape)
            file.create_virtual_dataset(name, virtual)
        elif kind == "chunks":
            unlimited = (None, None, None, None)
            file.create_dataset(name, shape, "f4", chunks=(1000, 3, 1, 64), maxshape=unlimited)
        else:
            file.create_group(name)
    with pytest.raises(WeightsFileError, match="can't be read as OpenL3 weights"):
        openl3.read(path)


def test_refuses_lists_that_lead_nowhere(arrays: dict, tmp_path: Path) -> None:
    path = tmp_path / "names.h5"
    for names, said in (
        (np.array([b"nowhere"]), "'nowhere' is missing"),
        (np.array([b"../x"]), "no name of a layer"),
        (np.zeros(2000, "S4"), "layer_names is too long"),
        (np.zeros(3), "layer_names holds no names"),
        (np.array([b"\xff\xfe"]), "can't be read"),
    ):
        write_openl3(path, arrays)
        with h5py.File(path, "a") as file:
            del file.attrs["layer_names"]
            file.attrs["layer_names"] = names
        with pytest.raises(WeightsFileError, match=said):
            openl3.read(path)
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(WeightsFileError, match="has no layer_names"):
        openl3.read(path)


def test_refuses_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsFileError, match="is a folder"):
        openl3.read(tmp_path)
    with pytest.raises(WeightsFileError, match="No such file"):
        openl3.read(tmp_path / "absent.h5")
    with pytest.raises(WeightsFileError, match="no regular file"):
        openl3.read(Path("/dev/zero"))
