"""`embed` with several processes, stopped in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.cli.command import EDGEAUDIO, edgeaudio

RECORDINGS = 400


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEAUDIO_HOME", str(tmp_path / "home"))
    rng = np.random.default_rng(5)
    (tmp_path / "in").mkdir()
    for k in range(RECORDINGS):
        path = tmp_path / "in" / f"{k:03}.wav"
        soundfile.write(path, 0.1 * rng.standard_normal(32_000), 16_000)
    return tmp_path / "in"


@pytest.fixture
def running(folder: Path, tmp_path: Path) -> Iterator[subprocess.Popen]:
    """The command, once it has written the first file; its processes are gone at the end."""
    command = [EDGEAUDIO, "embed", folder, "--hop", "0.05", "-j", "2", "-o", tmp_path / "out"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert "000.wav.npz" in run.stdout.readline()
        yield run
        run.kill()


def children(process: subprocess.Popen) -> list[int]:
    """The processes that embed."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [p for p in map(int, found) if b"spawn_main" in Path(f"/proc/{p}/cmdline").read_bytes()]


def gone(processes: list[int]) -> bool:
    """Whether they end within some seconds."""
    for _ in range(100):
        if not any(Path(f"/proc/{p}/cmdline").exists() for p in processes):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped(running: subprocess.Popen, tmp_path: Path, number: signal.Signals) -> None:
    workers = children(running)
    assert len(workers) == 2
    running.send_signal(number)
    _, err = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "Traceback" not in err
    assert gone(workers)
    names = [path.name for path in (tmp_path / "out").iterdir()]
    assert 0 < len(names) < RECORDINGS
    assert all(name.endswith(".wav.npz") for name in names)  # nothing half-written
    for name in names:
        np.load(tmp_path / "out" / name)["embedding"]


def test_it_goes_on_where_it_was_stopped(
    running: subprocess.Popen, folder: Path, tmp_path: Path
) -> None:
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=20)
    out, _ = edgeaudio("embed", folder, "--hop", "0.05", "-o", tmp_path / "out")
    assert "000.wav.npz: 21 windows of 512, kept from before" in out
    assert len(list((tmp_path / "out").iterdir())) == RECORDINGS


def test_one_process_is_killed(running: subprocess.Popen) -> None:
    os.kill(children(running)[0], signal.SIGKILL)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 2
    assert "One of 2 processes was killed, most likely for want of memory" in err
    assert "Traceback" not in err


def test_the_whole_is_killed(running: subprocess.Popen) -> None:
    workers = children(running)
    running.kill()
    assert gone(workers)
