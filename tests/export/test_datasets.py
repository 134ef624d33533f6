from __future__ import annotations

from pathlib import Path

import pytest

from edgeaudio.errors import DataError
from edgeaudio_export.datasets import load_dataset
from edgeaudio_export.datasets.recordings import dataset_digest


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in ("good/a.wav", "good/deep/er/b.FLAC", "bad/c.mp3", "bad/d.ogg"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "data"


def manifest(folder: Path, text: str) -> Path:
    path = folder / "manifest.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_class_folders(folders: Path) -> None:
    found = load_dataset(folders)
    assert [(r.path.name, r.label) for r in found.recordings] == [
        ("c.mp3", "bad"),
        ("d.ogg", "bad"),
        ("a.wav", "good"),
        ("b.FLAC", "good"),
    ]
    assert found.counts == {"bad": 2, "good": 2}


def test_what_is_no_recording_is_named_or_hidden(folders: Path) -> None:
    (folders / "good" / "notes.txt").write_text("x")
    (folders / "good" / ".DS_Store").write_text("x")
    (folders / "good" / "._a.wav").write_text("x")
    (folders / ".git").mkdir()
    (folders / "beside.wav").write_text("x")
    found = load_dataset(folders)
    assert [(s.path.name, s.reason[:15]) for s in found.skipped] == [
        ("notes.txt", "not a recording")
    ]
    assert found.notes == ("not used: beside.wav, which lies beside the class folders",)


def test_an_empty_class_is_an_error(folders: Path) -> None:
    (folders / "ugly").mkdir()
    with pytest.raises(DataError, match="left of the class 'ugly' .*the folder is empty"):
        load_dataset(folders)


def test_labels_that_differ_in_case(folders: Path) -> None:
    (folders / "Good").mkdir()
    (folders / "Good" / "e.wav").write_text("x")
    with pytest.raises(DataError, match="'Good' and 'good' differ in case or spaces only"):
        load_dataset(folders)


def test_one_class_is_not_enough(folders: Path) -> None:
    for path in (folders / "bad").iterdir():
        path.unlink()
    (folders / "bad").rmdir()
    with pytest.raises(DataError, match="at least two labels are needed"):
        load_dataset(folders)


def test_neither_folder_nor_manifest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no .*nothing"):
        load_dataset(tmp_path / "nothing")
    with pytest.raises(DataError, match="has no sub-folders"):
        load_dataset(tmp_path)


def test_manifest(folders: Path) -> None:
    path = manifest(
        folders,
        "\ufeffpath,label, group,fold,split,colour\n"
        "good/a.wav,good,g1,1,train,red\n"
        "bad/c.mp3,bad,g2,2,test,\n"
        "bad/d.ogg,bad,,,train\n"
        "missing.wav,bad,,,train,blue\n",
    )
    found = load_dataset(path)
    first, second, third = found.recordings
    assert (first.path, first.label, first.group) == (folders / "good/a.wav", "good", "g1")
    assert (second.fold, second.split) == ("2", "test")
    assert third.group is None
    assert [(s.path.name, s.reason) for s in found.skipped] == [
        ("missing.wav", "there is no such file")
    ]
    assert found.notes == ("columns ignored: colour",)
    assert [r.path.name for r in found.training().recordings] == ["a.wav", "d.ogg"]


def test_without_a_split_all_rows_train_and_fold_is_ignored(folders: Path) -> None:
    path = manifest(folders, "path,label,fold\ngood/a.wav,good,1\nbad/c.mp3,bad,2\n")
    assert len(load_dataset(path).training().recordings) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs the columns path and label.*found: nothing"),
        ("file,class\na,b\n", "found: file, class"),
        ("path,label\ngood/a.wav,\n", "line 2: the label is empty"),
        ("path,label\n,good\n", "line 2: the path is empty"),
        (
            "path,label\ngood/a.wav,good\ngood/a.wav,bad\n",
            "line 3: .*'bad' here and 'good' further",
        ),
        ("path,label\ngood/a.wav,good\nno.wav,bad\n", "left of the class 'bad' .*no such file"),
        ("path,label\nbad/c.mp3,good\ngood/a.wav,Good\n", "differ in case"),
    ],
)
def test_a_manifest_that_cannot_be_used(folders: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(manifest(folders, text))


def test_binary_manifest(folders: Path) -> None:
    path = folders / "manifest.csv"
    path.write_bytes(b"\xff\xfe\x00path")
    with pytest.raises(DataError, match="can't be read as a CSV manifest"):
        load_dataset(path)


def test_repeated_rows_count_once(folders: Path) -> None:
    rows = "good/a.wav,good\n" * 2 + "bad/c.mp3,bad\n"
    found = load_dataset(manifest(folders, "path,label\n" + rows))
    assert len(found.recordings) == 2
    assert found.notes == ("line 3 repeats good/a.wav",)


def test_split_without_train(folders: Path) -> None:
    path = manifest(folders, "path,label,split\ngood/a.wav,good,test\nbad/c.mp3,bad,\n")
    with pytest.raises(DataError, match="no row says 'train'; found: nothing, test"):
        load_dataset(path).training()


def test_a_split_column_that_is_empty_is_a_mistake(folders: Path) -> None:
    path = manifest(folders, "path,label,split\ngood/a.wav,good,\nbad/c.mp3,bad,\n")
    with pytest.raises(DataError, match="no row says 'train'; found: nothing"):
        load_dataset(path).training()


def test_a_class_that_is_never_trained(folders: Path) -> None:
    rows = "good/a.wav,good,train\nbad/c.mp3,bad,test\n"
    path = manifest(folders, "path,label,split\n" + rows)
    with pytest.raises(DataError, match="no row of the class 'bad' is for training"):
        load_dataset(path).training()
    path = manifest(folders, "path,label,split\n" + rows + "none.wav,bad,train\n")
    with pytest.raises(DataError, match="no usable recording is left of the class 'bad'"):
        load_dataset(path).training()


def test_what_is_missing_from_the_test_rows_is_not_missed_in_training(folders: Path) -> None:
    rows = "good/a.wav,good,train\nbad/c.mp3,bad,train\nnone.wav,bad,test\n"
    found = load_dataset(manifest(folders, "path,label,split\n" + rows))
    assert len(found.skipped) == 1
    assert found.training().skipped == ()


@pytest.mark.parametrize("label", ["a\tb", "\x1b[31mred", "x" * 201])
def test_labels_that_cannot_be_shown(folders: Path, label: str) -> None:
    path = manifest(folders, f"path,label\ngood/a.wav,good\nbad/c.mp3,{label}\n")
    with pytest.raises(DataError, match="can't be shown"):
        load_dataset(path)


def test_names_that_no_file_has(folders: Path) -> None:
    rows = f"good/a.wav,good\nbad/c.mp3,bad\n{'x' * 300}.wav,bad\n"
    assert len(load_dataset(manifest(folders, "path,label\n" + rows)).skipped) == 1


def test_digest_follows_content_and_label_alone(folders: Path) -> None:
    recordings = load_dataset(folders).recordings
    before = dataset_digest(recordings)
    assert dataset_digest(reversed(recordings)) == before
    (folders / "good" / "a.wav").write_bytes(b"changed")
    assert dataset_digest(recordings) != before
