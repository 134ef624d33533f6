"""Real recordings, through the commands: accuracy, and memory on a recording of three hours."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

EDGEAUDIO = Path(sys.executable).parent / "edgeaudio"
HOURS = 3
MAX_MEGABYTES = 200


def edgeaudio(*arguments: object) -> str:
    run = subprocess.run(
        [EDGEAUDIO, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.shared
def test_esc10_folds_1_to_4_for_training_and_5_for_testing(shared: Path, tmp_path: Path) -> None:
    with (shared / "data" / "manifest.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["set"] == "esc10"]
    manifest = tmp_path / "esc10.csv"
    with manifest.open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "group", "fold", "split"])
        for row in rows:
            split = "test" if row["fold"] == "5" else "train"
            path = shared / "data" / row["path"]
            writer.writerow([path, row["label"], row["group"], row["fold"], split])
    head, model = tmp_path / "esc10.head", tmp_path / "esc10.onnx"
    edgeaudio("train", manifest, "--fusion", "late", "-o", head)
    edgeaudio("export", "--head", head, "-o", model)
    test = {str(shared / "data" / r["path"]): r["label"] for r in rows if r["fold"] == "5"}
    out = edgeaudio("classify", *test, "--model", model, "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert [o["file"] for o in found] == list(test)
    right = sum(o["label"] == test[o["file"]] for o in found)
    assert right >= 0.70 * len(test), f"{right} of {len(test)} files"
    for offline in found[::8]:  # one a class
        source = f"file:{offline.pop('file')}"
        (live,) = map(json.loads, edgeaudio("listen", "-m", model, "--source", source).splitlines())
        assert {key: live[key] for key in offline} == offline


@pytest.fixture(scope="module")
def long_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hours of noise at 8 kHz in 8 bits: 86 MB of file, 690 MB as float32 at 16 kHz."""
    path = tmp_path_factory.mktemp("long") / "long.wav"
    minute = np.random.default_rng(0).normal(0, 0.1, 8000 * 60).clip(-1, 1)
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_U8") as file:
        for _ in range(60 * HOURS):
            file.write(minute)
    return path


def peak_kilobytes(pid: int) -> int:
    """Largest resident size so far. (What `wait4` reports includes the process that forked.)"""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it has just ended
        return 0
    return sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


@pytest.mark.parametrize("command", ["classify", "listen"])
def test_memory_does_not_grow_with_the_recording(
    command: str, engine_model: Path, long_recording: Path, tmp_path: Path
) -> None:
    arguments = {
        "classify": [str(long_recording), "--json"],
        "listen": ["--source", f"file:{long_recording}", "--hop", "5"],
    }[command]
    written = tmp_path / "out.jsonl"
    peak = 0
    with written.open("w") as out:
        process = subprocess.Popen(
            [EDGEAUDIO, command, "--model", engine_model, *arguments], stdout=out
        )
        while process.poll() is None:
            peak = max(peak, peak_kilobytes(process.pid))
            time.sleep(0.1)
    assert process.returncode == 0
    assert 20_000 < peak < MAX_MEGABYTES * 1000
    last = json.loads(written.read_text().splitlines()[-1])
    if command == "classify":
        assert last["windows"] == 2 * 3600 * HOURS - 1
    else:
        assert last["end_sample"] >= (3600 * HOURS - 5) * 16_000
