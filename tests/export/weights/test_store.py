"""The registry, digests, and the store of weights."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.errors import (
    EdgeAudioError,
    MissingWeightsError,
    OutputExistsError,
    WeightsFileError,
)
from edgeaudio_export import weights as room
from edgeaudio_export.weights import digests, registry, store
from edgeaudio_export.weights.digests import Digest
from edgeaudio_export.weights.importers import IMPORTERS, layouts
from edgeaudio_export.weights.store import Weights, WeightsInfo
from tests.export.weights.official import write_openl3

INFO = WeightsInfo("test", "file.h5", "0" * 64, False, "2026-01-31", "none")


@pytest.fixture
def weights() -> Weights:
    arrays = {"a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(4, np.float32)}
    return store.make_weights("mine", arrays, INFO)


@pytest.fixture
def openl3_file(arrays_of: Callable, tmp_path: Path) -> Path:
    write_openl3(tmp_path / "o.h5", arrays_of(layouts.OPENL3))
    return tmp_path / "o.h5"


def test_the_registry_is_sane() -> None:
    officials = registry.officials()
    assert len(officials) == 10
    known = [file.digest for o in officials.values() for file in o.files]
    assert len(set(known)) == len(known)
    for id, official in officials.items():
        assert id == official.id
        assert store.path_of(id).name == f"{id}.npz"
        assert official.importer in IMPORTERS
        assert official.licence
        assert official.citation
        assert official.source is not None
        for file in official.files:
            assert Path(file.name).name == file.name
            assert all(url.startswith("https://") for url in file.urls)
    for kind in ("linear", "mel128", "mel256"):
        for content in ("music", "env"):
            source = officials[f"openl3-{kind}-{content}"].source
            assert source
            assert source.name == f"openl3_audio_{kind}_{content}-v0_4_0.h5.gz"
            assert source.urls[0].endswith(f"/marl/openl3/models/{source.name}")
    with pytest.raises(EdgeAudioError, match="no official weights 'x'; there are: openl3-linear"):
        registry.get("x")


def test_digests_are_git_s_and_sha256(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"what is up, doc?")
    found = digests.of_file(path)
    assert found.git_blob == "bd9dbf5aae1a3862dd1526723246b20206e5fc37"  # from git's own book
    assert found.sha256 == hashlib.sha256(b"what is up, doc?").hexdigest()
    assert found.size == 16
    assert found.match(Digest("git-blob", found.git_blob))
    assert found.match(Digest("sha256-prefix", found.sha256[:8]))
    assert not found.match(Digest("sha256-prefix", "00000000"))
    for bad in ("md5:00", "sha256:0", "sha256-prefix:1234", "git-blob:" + "G" * 40):
        with pytest.raises(ValueError, match="no digest of a kind"):
            Digest.parse(bad)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_agrees(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(np.random.default_rng(0).bytes(3_000_000))
    git = subprocess.run(["git", "hash-object", path], capture_output=True, text=True, check=True)
    assert digests.of_file(path).git_blob == git.stdout.strip()


def test_the_real_yamnet_is_recognised(shared: Path) -> None:
    path = shared / "weights" / "yamnet.tflite"
    content = digests.of_file(path)
    assert registry.recognise(content) is registry.get("yamnet")
    found = room.load_file("yamnet", path)
    assert found.info.official
    assert found.info.source_sha256 == content.sha256
    assert store.find("yamnet") is None, "load_file keeps nothing"
    with pytest.raises(WeightsFileError, match="is the official file of yamnet, not of kumar"):
        room.load_file("kumar", path)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"EDGEAUDIO_HOME": "/e", "XDG_DATA_HOME": "/x"}, "/e/weights"),
        ({"XDG_DATA_HOME": "/x"}, "/x/edgeaudio/weights"),
        ({"XDG_DATA_HOME": "relative", "HOME": "/h"}, "/h/.local/share/edgeaudio/weights"),
        ({"EDGEAUDIO_HOME": "", "HOME": "/h"}, "/h/.local/share/edgeaudio/weights"),
    ],
)
def test_home(monkeypatch: pytest.MonkeyPatch, variables: dict, folder: str) -> None:
    monkeypatch.delenv("EDGEAUDIO_HOME")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert room.weights_home() == Path(folder)


def test_what_is_saved_is_found(weights: Weights, home: Path) -> None:
    assert room.find("mine") is None
    assert room.present() == {}
    assert room.save(weights) == home / "mine.npz"
    found = room.find("mine")
    assert found
    assert (found.id, found.digest, found.info) == (weights.id, weights.digest, weights.info)
    assert found.arrays.keys() == weights.arrays.keys()
    np.testing.assert_array_equal(found.arrays["a/kernel"], weights.arrays["a/kernel"])
    assert not found.arrays["b"].flags.writeable
    assert room.require("mine").digest == weights.digest
    assert room.present() == {"mine": INFO}
    with pytest.raises(OutputExistsError, match="exists already"):
        room.save(weights)
    other = dataclasses.replace(weights, info=dataclasses.replace(INFO, licence="another"))
    room.save(other, overwrite=True)
    assert room.present()["mine"] == other.info


def test_the_digest_sees_names_shapes_and_values(weights: Weights) -> None:
    arrays = dict(weights.arrays)
    changed = [
        arrays | {"b": np.zeros(4, np.float32)},
        arrays | {"b": np.ones((2, 2), np.float32)},
        {"c" if name == "b" else name: array for name, array in arrays.items()},
        arrays | {"c": np.ones(1, np.float32)},
    ]
    assert len({store.digest_of(a) for a in (arrays, *changed)}) == 5
    assert store.digest_of(dict(reversed(arrays.items()))) == weights.digest
    fortran = arrays | {"a/kernel": np.asfortranarray(arrays["a/kernel"])}
    assert store.digest_of(fortran) == weights.digest


def test_missing_weights_say_how_to_get_them() -> None:
    with pytest.raises(MissingWeightsError) as missing:
        room.require("openl3-mel256-music")
    text = str(missing.value)
    assert "`edgeaudio weights pull openl3-mel256-music`" in text
    name = "openl3_audio_mel256_music-v0_4_0.h5.gz"
    assert f"`edgeaudio weights import openl3-mel256-music {name}`" in text
    assert "CC BY 4.0" in text
    with pytest.raises(MissingWeightsError, match="no weights 'mine' on this machine"):
        room.require("mine")


@pytest.mark.parametrize("id", ["", "../x", "A", "a/b", ".x", "a" * 200, "a\0"])
def test_an_id_names_no_path(id: str) -> None:
    with pytest.raises(EdgeAudioError, match="can't name weights"):
        room.find(id)


def test_damage_is_seen(weights: Weights, home: Path) -> None:
    path = room.save(weights)
    whole = path.read_bytes()
    damaged = [whole[:50], whole[:-40], b"", b"no zip", b"PK\x03\x04" + bytes(100)]
    at = whole.index(np.arange(6, dtype="<f4").tobytes())
    damaged.append(whole[:at] + b"\x01" + whole[at + 1 :])
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(WeightsFileError, match=r"mine\.npz"):
            room.find("mine")
    assert room.present() == {"mine": INFO}, "the info in it is whole; `verify` reads the rest"
    path.write_bytes(b"no zip")
    assert room.present() == {"mine": None}


def rewrite(path: Path, **entries: np.ndarray) -> None:
    with np.load(path) as archive:
        held = dict(archive)
    np.savez(path, **(held | entries))


def test_changes_are_seen(weights: Weights) -> None:
    path = room.save(weights)
    rewrite(path, b=np.zeros(4, np.float32))
    with pytest.raises(WeightsFileError, match="damaged or changed since it was written"):
        room.find("mine")
    rewrite(path, b=np.ones(4, np.float64))
    with pytest.raises(WeightsFileError, match="not float32"):
        room.find("mine")
    rewrite(path, b=np.array([{}]))
    with pytest.raises(WeightsFileError, match="can't be read as weights"):
        room.find("mine")
    held = {"id": "mine", "digest": weights.digest, **dataclasses.asdict(INFO)}
    for info in ({}, {**held, "official": "yes"}, {**held, "more": 1}, [1], {**held, "id": "x"}):
        room.save(weights, overwrite=True)
        text = np.frombuffer(json.dumps(info).encode(), np.uint8)
        rewrite(path, **{"info.json": text})
        with pytest.raises(WeightsFileError, match=r"mine\.npz"):
            room.find("mine")


def test_compressed_weights_are_not_ours(weights: Weights) -> None:
    path = room.save(weights)
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    with pytest.raises(WeightsFileError, match="its entries are compressed"):
        room.find("mine")


def test_kept_weights_have_their_layout(weights: Weights) -> None:
    info = dataclasses.replace(INFO, importer="vggish-pca")
    room.save(dataclasses.replace(weights, info=info))
    with pytest.raises(WeightsFileError, match=r"lacks pca\.eigenvectors"):
        room.find("mine")


def test_a_file_of_the_right_layout_is_taken(openl3_file: Path) -> None:
    found = room.load_file("openl3-linear-env", openl3_file)
    assert not found.info.official
    assert (found.info.importer, found.info.source) == ("openl3-linear", "o.h5")
    assert found.info.licence == "CC BY 4.0"
    room.save(found)
    again = room.require("openl3-linear-env")
    assert again.digest == found.digest
