"""Archives of published data sets, as they come: read, and checked for what is missing."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.errors import DataError, EdgeAudioError
from edgeaudio_export.datasets import Dataset, load_dataset
from edgeaudio_export.datasets.archives.acmus import size_of
from edgeaudio_export.datasets.known import KNOWN, known_set, missing
from edgeaudio_export.evaluate import splits
from edgeaudio_export.evaluate.published import PUBLISHED


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEAUDIO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def lay(root: Path, files: Iterable[str], tables: dict[str, str] | None = None) -> Path:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    for name, text in (tables or {}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def read(id: str, path: Path) -> Dataset:
    return load_dataset(path, known_set(id))


def rows(dataset: Dataset) -> list[tuple[str, str, str | None, str | None, str | None]]:
    return sorted(
        (r.path.name, r.label, r.group, r.fold, r.split)  # type: ignore[type-var]
        for r in dataset.recordings
    )


ESC50 = "filename,fold,target,category,esc10,src_file,take\n" + "\n".join(
    f"{fold}-{10 * fold + k}-A-{k}.wav,{fold},{k},{name},{name != 'hen'},{10 * fold + k},A"
    for fold in range(1, 6)
    for k, name in enumerate(("dog", "rain", "hen"))
)


@pytest.mark.parametrize("top", ["", "ESC-50-master/"])
def test_esc50(tmp_path: Path, top: str) -> None:
    names = [line.split(",")[0] for line in ESC50.splitlines()[1:]]
    lay(tmp_path, [f"{top}audio/{n}" for n in names], {f"{top}meta/esc50.csv": ESC50})
    found = read("esc-50", tmp_path)
    assert found.labels == ("dog", "hen", "rain")
    assert rows(found)[0] == ("1-10-A-0.wav", "dog", "10", "1", None)
    assert len(splits.folds_of(found)) == 5
    assert read("esc10", tmp_path).labels == ("dog", "rain")
    (tmp_path / f"{top}audio/{names[0]}").unlink()
    again = read("esc50", tmp_path)
    assert [s.reason for s in again.skipped] == ["there is no such file"]
    assert "only 14 of 2000 recordings" in missing(KNOWN["esc50"], again)


@pytest.mark.parametrize("top", ["", "ESC-10-master/"])
def test_esc10s_own_archive(tmp_path: Path, top: str) -> None:
    lay(
        tmp_path,
        [f"{top}001 - Dog bark/{k}-10{k}-A.ogg" for k in (1, 2)]
        + [f"{top}002 - Rain/{k}-20{k}-B.ogg" for k in (1, 2)],
        {f"{top}README.md": "x"},
    )
    found = read("esc10", tmp_path)
    assert rows(found)[0] == ("1-101-A.ogg", "Dog bark", "101", "1", None)
    assert found.labels == ("Dog bark", "Rain")
    assert "no recording of fold 3, 4, 5" in missing(KNOWN["esc10"], found)


def test_other_names_are_none_of_esc10s(tmp_path: Path) -> None:
    lay(tmp_path, ["dog/bark.wav", "rain/drop.wav"])
    with pytest.raises(DataError, match="is not named as ESC's clips are"):
        read("esc10", tmp_path)


@pytest.mark.parametrize("layout", ["UrbanSound8K/{}/{}", "{}/{}"])
def test_urbansound8k(tmp_path: Path, layout: str) -> None:
    listing = "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
    names = []
    for fold in range(1, 11):
        for class_id, label in ((3, "dog_bark"), (8, "siren")):
            name = f"{fold}00-{class_id}-0-1.wav"
            listing += f"{name},{fold}00,0.0,1.5,1,{fold},{class_id},{label}\n"
            names.append(layout.format("audio", f"fold{fold}/{name}"))
    lay(tmp_path, names, {layout.format("metadata", "UrbanSound8K.csv"): listing})
    found = read("us8k", tmp_path)
    assert len(found.recordings) == 20
    assert ("1000-3-0-1.wav", "dog_bark", "1000", "10", None) in rows(found)
    assert len(splits.folds_of(found)) == 10
    assert missing(KNOWN["urbansound8k"], found)[0].startswith("no recording of air_conditioner")


def test_dcase2013(tmp_path: Path) -> None:
    """Both parts use the same names, and some classes begin like others."""
    names = [f"{label}{k:02}.wav" for label in ("bus", "busystreet", "tube") for k in (1, 2)]
    parts = ("scenes_stereo", "scenes_stereo_testset")
    lay(tmp_path, [f"{part}/{n}" for part in parts for n in names])
    lay(tmp_path, ["scenes_stereo/._bus01.wav"])
    found = read("dcase2013", tmp_path)
    assert found.counts == {"bus": 4, "busystreet": 4, "tube": 4}
    (fold,) = splits.folds_of(found)
    assert {found.recordings[i].path.parent.name for i in fold.test} == {parts[1]}
    assert (len(fold.train), len(fold.test)) == (6, 6)


def test_sefire(tmp_path: Path) -> None:
    labels = "si12x" * 30
    listing = "Filename\tLabel\r\n" + "".join(
        f"{k:05}.mp3\t{label}\r\n" for k, label in enumerate(labels, 1)
    )
    external = "Recording ID\tRecording URL\tCut from\tCut duration\tLabel\n" + "".join(
        f"T{k // 2}\thttp://x\t220,67\t5\t{label}\n" for k, label in enumerate("i1s2")
    )
    top = "field-recording-db-master/"
    lay(
        tmp_path,
        [f"{top}samples/{k:05}.mp3" for k in range(1, 151)]
        + [f"{top}external samples/0000{k}.mp3" for k in (1, 2, 3)],
        {
            f"{top}samples/sample labels.txt": listing,
            f"{top}external samples/external sources.txt": external,
        },
    )
    found = read("t3", tmp_path)
    assert found.counts == {"choir": 30, "instrumental": 31, "solo": 31, "speech": 31}
    assert "30 of noise left out: no part of the task" in found.notes
    groups = {r.path.name: r.group for r in found.recordings if "external" in str(r.path)}
    assert groups == {
        "00001.mp3": "recording T0",
        "00002.mp3": "recording T0",
        "00003.mp3": "recording T1",
    }
    assert len({r.group for r in found.recordings if "external" not in str(r.path)}) == 3
    assert missing(KNOWN["t3"], found) == ("only 123 of 7527 recordings",)


def test_a_manifest_of_several_sets(tmp_path: Path) -> None:
    lay(tmp_path, ["1.mp3", "2.mp3", "3.mp3", "1-17-A.ogg"])
    (tmp_path / "m.csv").write_text(
        "path,set,label,group\n1.mp3,sefire,solo,a\n2.mp3,sefire,choir,b\n"
        "3.mp3,sefire,noise,c\n1-17-A.ogg,esc10,rain,d\n"
    )
    assert read("t3", tmp_path / "m.csv").counts == {"choir": 1, "solo": 1}


def engine_files(clips: int) -> list[str]:
    folders = ("engine1_good", "engine2_broken", "engine3_heavyload")
    return [
        name
        for folder in folders
        for name in (
            f"train/{folder}/pure.wav",
            f"test/{folder}/talking_1.wav",
            *(f"train_cut/{folder}/pure_{k}.wav" for k in range(clips)),
            *(f"test_cut/{folder}/atmo_high_{k}.wav" for k in range(clips)),
        )
    ]


@pytest.mark.parametrize("top", ["", "IDMT-ISA-ELECTRIC-ENGINE/"])
def test_electric_engine(tmp_path: Path, top: str) -> None:
    """The long takes hold the same sound as the clips that were cut from them."""
    lay(tmp_path, [top + name for name in engine_files(4)])
    found = read("t4", tmp_path)
    assert found.counts == {"broken": 8, "good": 8, "heavyload": 8}
    assert not any(r.path.stem in ("pure", "talking_1") for r in found.recordings)
    (fold,) = splits.folds_of(found)
    assert (len(fold.train), len(fold.test)) == (12, 12)
    assert missing(KNOWN["t4"], found) == ("only 24 of 2378 recordings",)


def test_a_test_set_that_is_not_there(tmp_path: Path) -> None:
    lay(tmp_path, [name for name in engine_files(6) if name.startswith("train_cut")])
    found = read("t4", tmp_path)
    assert "no recording of the test set" in missing(KNOWN["t4"], found)
    assert len(splits.folds_of(found)) == 5  # drawn instead


def test_a_folder_around_class_folders(tmp_path: Path) -> None:
    lay(tmp_path, ["DB-MTC/strings/a.wav", "DB-MTC/brass/b.wav"])
    assert read("t2", tmp_path).labels == ("brass", "strings")


def test_metal_balls(tmp_path: Path) -> None:
    folders = ("A1_Eloxed", "B1_COATED", "C1_broken")
    lay(
        tmp_path,
        [f"x/{p}/{f}/{k}.wav" for p in ("train", "test1") for f in folders for k in (1, 2)],
    )
    found = read("t5", tmp_path)
    assert found.counts == {"broken": 4, "coated": 4, "eloxed": 4}
    assert {r.split for r in found.recordings} == {"train", "test"}


def test_pucks(tmp_path: Path) -> None:
    lay(
        tmp_path,
        [f"{p}/{f}/{k}.wav" for p in ("Train", "Test") for f in ("PA", "POM") for k in (1, 2)],
    )
    found = read("idmt-isa-pucks", tmp_path)
    assert found.counts == {"PA": 4, "POM": 4}
    assert len(splits.folds_of(found)) == 1


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("Solo", "solo"),
        ("dueto", "duo"),
        ("3", "trio"),
        ("Cuarteto", "quartet"),
        ("7", "large ensemble"),
        ("Large ensemble", "large ensemble"),
        ("piano", None),
    ],
)
def test_ensemble_sizes_in_two_languages(said: str, label: str | None) -> None:
    assert size_of(said) == label


def test_acmus(tmp_path: Path) -> None:
    base = tmp_path / "ACMUS-MIR" / "instrumental_format_set"
    lay(base, ["Audio/if_1.wav", "Audio/if_2.wav", "Audio/0020_ninst04.wav"])
    lay(tmp_path, ["ACMUS-MIR/rhythm_set/Audio/rh_0001.wav"])
    (base / "list.csv").write_text("file;ensemble_size\nif_1.wav;Solo\nif_2.wav;Trio\n")
    assert rows(read("t1", tmp_path)) == [
        ("0020_ninst04.wav", "quartet", None, None, None),
        ("if_1.wav", "solo", None, None, None),
        ("if_2.wav", "trio", None, None, None),
    ]


def test_a_folder_with_none_of_it(tmp_path: Path) -> None:
    lay(tmp_path, ["notes/a.wav"])
    with pytest.raises(DataError, match="holds nothing of T4.*expected: train_cut/ and test_cut/"):
        read("t4", tmp_path)
    with pytest.raises(DataError, match=r"has no metadata/UrbanSound8K\.csv"):
        read("urbansound8k", tmp_path)


def test_sets_that_are_not_known() -> None:
    with pytest.raises(EdgeAudioError, match="There is no data set 't9'; there are: t1, t2"):
        known_set("t9")
    assert known_set("SeFiRe").id == "t3"
    assert set(PUBLISHED) <= set(KNOWN)
    for known in KNOWN.values():
        assert known.citation, known
        assert known.licence, known


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tar_of(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("train_cut/engine1_good/passwd.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return path


@pytest.mark.parametrize(("name", "make"), [("a.zip", zip_of), ("a.tar.gz", tar_of)])
def test_an_archive_that_was_not_unpacked(tmp_path: Path, home: Path, name: str, make) -> None:
    files = {n: n.encode() for n in engine_files(3)} | {"__MACOSX/x.wav": b"", "run.sh": b"x"}
    archive = make(tmp_path / name, files)
    found = read("t4", archive)
    assert found.counts == {"broken": 6, "good": 6, "heavyload": 6}
    assert not list(home.rglob("run.sh"))
    assert not list(home.rglob("passwd.wav"))
    assert rows(read("t4", archive)) == rows(found)  # from the cache


@pytest.mark.parametrize("make", [zip_of, tar_of])
@pytest.mark.parametrize(
    "name", ["../out.wav", "/out.wav", "a/../../out.wav", "\\\\tmp\\\\out.wav"]
)
def test_an_archive_that_would_write_elsewhere(tmp_path: Path, home: Path, name: str, make) -> None:
    archive = make(tmp_path / ("a.zip" if make is zip_of else "a.tgz"), {name: b"x"})
    with pytest.raises(DataError, match="would lie outside"):
        read("t4", archive)
    assert not list(home.rglob("out.wav"))
    assert not list(home.glob("cache/archives/*"))


@pytest.mark.parametrize(("name", "make"), [("a.zip", zip_of), ("a.tar.gz", tar_of)])
def test_an_archive_with_a_changed_byte(tmp_path: Path, home: Path, name: str, make) -> None:
    random = np.random.default_rng(0)
    archive = make(tmp_path / name, {n: random.bytes(3000) for n in engine_files(6)})
    whole = archive.read_bytes()
    for at in random.integers(1000, len(whole) - 2000, 10):
        archive.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        with pytest.raises(DataError, match="is damaged|holds nothing"):
            read("t4", archive)
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="is damaged"):
        read("t4", archive)


def test_a_damaged_archive(tmp_path: Path) -> None:
    for name in ("a.zip", "a.tar.gz"):
        (tmp_path / name).write_bytes(b"no archive")
        with pytest.raises(DataError, match="is damaged"):
            read("t4", tmp_path / name)
