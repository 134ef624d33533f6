from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeaudio.errors import OutputError, OutputExistsError
from edgeaudio.files import check_output, write_atomic


def test_writes_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"one")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"one")]


def test_never_over_another_file_unasked(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomic(path, b"one")
    with pytest.raises(OutputExistsError, match="exists already.*--force"):
        write_atomic(path, b"two")
    assert path.read_bytes() == b"one"
    write_atomic(path, b"two", overwrite=True)
    assert path.read_bytes() == b"two"


def test_a_name_taken_in_the_meantime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    real = os.fsync

    def meanwhile(descriptor: int) -> None:
        path.write_bytes(b"somebody else's")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    with pytest.raises(OutputExistsError, match="appeared while"):
        write_atomic(path, b"ours")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"somebody else's")]


@pytest.mark.parametrize("overwrite", [False, True])
def test_interrupted_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    path = tmp_path / "a"
    if overwrite:
        path.write_bytes(b"before")

    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, b"after", overwrite=overwrite)
    found = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert found == ({"a": b"before"} if overwrite else {})


def test_bad_targets(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path, "is a folder"),
        (tmp_path / "no" / "a", "does not exist; make it first"),
        (tmp_path / ("x" * 300), "can't be written: File name too long"),
        (Path("a\0b"), "can't be written: .*null"),
        (Path("/proc/a"), "can't be written"),
    ):
        with pytest.raises(OutputError, match=message):
            write_atomic(path, b"")


def test_only_regular_files_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "link", tmp_path / "dangling", tmp_path / "fifo", Path("/dev/null")):
        with pytest.raises(OutputError, match="is no regular file"):
            write_atomic(path, b"", overwrite=True)


def test_the_input_is_not_the_output(tmp_path: Path) -> None:
    path = tmp_path / "t4.head"
    path.write_text("x")
    (tmp_path / "also").hardlink_to(path)
    for output in (path, tmp_path / "also"):
        with pytest.raises(OutputError, match="is read by this command"):
            check_output(output, overwrite=True, inputs=(path,))


def test_rights_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
