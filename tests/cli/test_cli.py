"""The commands as a user runs them: real processes, their output and exit status."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeaudio.classify import classify_file
from edgeaudio.model import Model
from tests.cli.command import EDGEAUDIO, edgeaudio, objects


def test_the_main_job(tmp_path: Path) -> None:
    data, head, model = tmp_path / "demo", tmp_path / "t4.head", tmp_path / "t4.onnx"
    out, _ = edgeaudio("demo", data)
    assert "generated sound, no recordings" in out
    out, err = edgeaudio(
        "train",
        data,
        "--extractor",
        "logmel-stats",
        "--head",
        "svm",
        "--fusion",
        "late",
        "-o",
        head,
    )
    assert "20 recordings  good" in out
    assert "not used: shift.flac, which lies beside the class folders" in err
    out, _ = edgeaudio(
        "export", "--extractor", "logmel-stats", "--head", head, "--calibrate", data, "-o", model
    )
    assert "holds one recorded window each of: broken, good, heavy_load" in out
    out, _ = edgeaudio("verify", model)
    assert out.count("holds") == 8
    assert "median -2" in out
    out, _ = edgeaudio("classify", data / "good/good-00.wav", "--model", model)
    assert out.split()[0] == "good"
    out, _ = edgeaudio("listen", "--model", model, "--source", f"file:{data / 'shift.flac'}")
    labels = [o["label"] for o in objects(out)]
    assert (labels[0], labels[-1], len(labels)) == ("good", "broken", 51)


def test_early_fusion(engine_folder: Path, tmp_path: Path) -> None:
    head, model = tmp_path / "e.head", tmp_path / "e.onnx"
    edgeaudio("train", engine_folder, "--fusion", "early-mean", "-o", head)
    edgeaudio("export", "--head", head, "-o", model)
    out, _ = edgeaudio("verify", model)
    assert "early-mean fusion" in out


def test_classify_json(engine_folder: Path, engine_model: Path, model: Model, write_wav) -> None:
    good = engine_folder / "good/good-01.wav"
    silent = write_wav("silent.wav", np.zeros(16_000, np.float32))
    text = write_wav("x/text.wav", np.zeros(16_000, np.float32))
    text.write_text("no sound")
    out, _ = edgeaudio("classify", good, silent, text, "--model", engine_model, "--json", status=1)
    first, second, third = objects(out)
    assert list(first) == ["file", "label", "likelihoods", "windows", "quality"]
    assert first["file"] == str(good)
    assert first["label"] == "good"
    wanted = classify_file(good, model)
    assert first["likelihoods"] == {k: round(v, 6) for k, v in wanted.likelihoods}
    assert first["windows"] == 7
    assert first["quality"] == {"state": "ok", "reasons": []}
    assert second["label"] in model.labels, "quality does not take the label away"
    assert second["quality"] == {"state": "invalid", "reasons": ["silence"]}
    assert list(third) == ["file", "error"]
    assert "can't be read as sound" in third["error"]


def test_classify_for_people(engine_folder: Path, engine_model: Path, tmp_path: Path) -> None:
    good = engine_folder / "good/good-01.wav"
    out, err = edgeaudio("classify", good, tmp_path / "no.wav", "-m", engine_model, status=1)
    first, second = out.splitlines()
    assert first.split()[::2] == ["good", str(good)]
    assert f"There is no file {tmp_path / 'no.wav'}" in second
    assert err == "1 of 2 files could not be used\n"


def test_listen_is_classify_on_a_file(engine_folder: Path, engine_model: Path) -> None:
    files = [engine_folder / f"{label}/{label}-03.wav" for label in ("good", "broken")]
    offline, _ = edgeaudio("classify", *files, "--model", engine_model, "--json")
    for path, wanted in zip(files, objects(offline), strict=True):
        for block in (37, 4096):
            out, err = edgeaudio(
                "listen", "--model", engine_model, "--source", f"file:{path}", "--block", block
            )
            (found,) = objects(out)
            assert list(found) == [
                *("time", "start_sample", "end_sample", "label", "likelihoods", "windows"),
                "quality",
            ]
            assert (found["start_sample"], found["end_sample"]) == (0, 64_000)
            assert found["time"].endswith("Z")
            assert {k: found[k] for k in wanted if k != "file"} == {
                k: v for k, v in wanted.items() if k != "file"
            }
            assert "22050 Hz, 1 channel" in err


def test_listen_to_standard_input(engine_folder: Path, engine_model: Path) -> None:
    path = engine_folder / "good/good-05.wav"
    from_file, _ = edgeaudio("listen", "--model", engine_model, "--source", f"file:{path}")
    piped, _ = edgeaudio(
        "listen", "--model", engine_model, "--source", "-", stdin=path.read_bytes()
    )
    (first,), (second,) = objects(from_file), objects(piped)
    assert first.pop("time") <= second.pop("time")
    assert first == second


def test_listen_options(engine_folder: Path, engine_model: Path) -> None:
    source = f"file:{engine_folder / 'shift.flac'}"
    common = ("listen", "--model", engine_model, "--source", source, "--json")
    out, _ = edgeaudio(*common, "--seconds", 4, "--horizon", 2, "--hop", 0.25)
    assert [o["start_sample"] for o in objects(out)] == list(range(0, 32_001, 4000))
    begin = time.monotonic()
    out, _ = edgeaudio(*common, "--seconds", 2, "--horizon", 1, "--realtime")
    assert time.monotonic() - begin >= 2
    assert len(objects(out)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "radio"], "no source 'radio'; expected mic, file:PATH, or -"),
        (["--source", "file:"], "no source 'file:'"),
        (["--source", "file:x.wav", "--device", "usb"], "--device names a microphone"),
        (["--source", "file:GOOD", "--horizon", "0.5"], "horizon of 0.5 s is shorter"),
        (["--source", "file:GOOD", "--hop", "0"], "0.001<=x<=3600"),
        (["--source", "file:GOOD", "--hop", "nan"], "nan is no number"),
        (["--source", "file:GOOD", "--horizon", "inf"], "0.01<=x<=86400"),
        (["--source", "file:GOOD", "--horizon", "nan"], "nan is no number"),
        (["--source", "file:GOOD", "--horizon", "80000"], "159999 windows, 10000 at most"),
        (["--source", "file:GOOD", "--seconds", "-1"], "-1"),
        (["--source", "-", "--realtime"], "are for --source file:PATH"),
        (["--block", "100"], "are for --source file:PATH"),
    ],
)
def test_what_listen_is_asked_in_error(
    engine_folder: Path, engine_model: Path, arguments: list[str], message: str
) -> None:
    good = str(engine_folder / "good/good-00.wav")
    arguments = [a.replace("GOOD", good) for a in arguments]
    _, err = edgeaudio("listen", "--model", engine_model, *arguments, status=2)
    assert message in err


def test_listen_to_what_is_no_sound(engine_model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    for name, message in (("empty.wav", "is empty"), ("none.wav", "There is no file")):
        source = f"file:{tmp_path / name}"
        _, err = edgeaudio("listen", "--model", engine_model, "--source", source, status=1)
        assert message in err


@pytest.mark.parametrize("command", ["classify", "listen", "verify"])
def test_refused_model_files_exit_with_3(
    command: str, engine_folder: Path, engine_model: Path, engine_head_path: Path, tmp_path: Path
) -> None:
    good = engine_folder / "good/good-00.wav"
    data = bytearray(engine_model.read_bytes())
    data[len(data) // 3] ^= 1
    (tmp_path / "flipped.onnx").write_bytes(data)
    (tmp_path / "cut.onnx").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.onnx").write_text("no model")
    for path in (*tmp_path.iterdir(), engine_head_path, tmp_path / "none.onnx"):
        arguments = {
            "classify": ("classify", good, "--model", path),
            "listen": ("listen", "--model", path, "--source", f"file:{good}"),
            "verify": ("verify", path),
        }[command]
        out, err = edgeaudio(*arguments, status=3)
        assert out == ""
        assert err.startswith("edgeaudio: ")
        assert str(path) in err
        assert len(err.splitlines()) == 1


def test_outputs_are_not_overwritten(engine_folder: Path, engine_head_path: Path) -> None:
    before = engine_head_path.read_bytes()
    _, err = edgeaudio("train", engine_folder, "-o", engine_head_path, status=2)
    assert "exists already" in err
    _, err = edgeaudio("export", "--head", engine_head_path, "-o", engine_head_path, status=2)
    assert engine_head_path.read_bytes() == before
    _, err = edgeaudio("demo", engine_folder, status=2)
    assert "not empty" in err


def test_train_names_what_it_skips(tmp_path: Path, engine_folder: Path) -> None:
    rows = [f"{engine_folder}/{c}/{c}-{n:02d}.wav,{c}" for c in ("good", "broken") for n in (0, 1)]
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,label,mood\n" + "\n".join([*rows, "missing.wav,good"]) + "\n")
    _, err = edgeaudio("train", manifest, "-o", tmp_path / "t.head")
    assert "note: columns ignored: mood" in err
    assert f"skipped 1 file:\n  {tmp_path}/missing.wav: there is no such file" in err


def test_bad_data_exits_with_2(tmp_path: Path) -> None:
    for data, message in ((tmp_path / "none", "There is no"), (tmp_path, "no sub-folders")):
        _, err = edgeaudio("train", data, "-o", tmp_path / "t.head", status=2)
        assert message in err


def test_a_pickled_head_says_how_to_bring_it_over(tmp_path: Path) -> None:
    path = tmp_path / "t4.joblib"
    path.write_bytes(b"\x80\x04whatever")
    _, err = edgeaudio("export", "--head", path, "-o", tmp_path / "t4.onnx", status=3)
    assert f"save_sklearn(joblib.load('{path}')" in err
    assert not (tmp_path / "t4.onnx").exists()


def test_missing_extra_is_named(tmp_path: Path) -> None:
    program = (
        "import sys, importlib.util as u; real = u.find_spec;"
        "u.find_spec = lambda n, *a: None if n in ('onnx', 'sklearn') else real(n, *a);"
        "sys.argv = ['edgeaudio', 'train', 'x', '-o', 'y']; import edgeaudio.cli as c; c.main()"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "needs onnx, sklearn" in run.stderr
    assert 'pip install ".[export]"' in run.stderr


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_listening_ends_in_order(engine_folder: Path, engine_model: Path, stop: int) -> None:
    source = f"file:{engine_folder / 'shift.flac'}"
    command = [EDGEAUDIO, "listen", "-m", engine_model, "--source", source, "--realtime"]
    process = subprocess.Popen(
        [*command, "--horizon", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(stop)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    objects(out)


def started(*arguments: object) -> tuple[subprocess.Popen[bytes], int]:
    """A command on a terminal of its own, and the other end of that."""
    master, slave = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    command = [EDGEAUDIO, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    return process, master


def read_until(master: int, wanted: str | None) -> str:
    """What the terminal shows up to `wanted`, or up to the end."""
    seen = b""
    try:
        while (wanted is None or wanted.encode() not in seen) and (part := os.read(master, 4096)):
            seen += part
    except OSError:  # the other end is closed
        pass
    return seen.decode()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["demo", "train", "export"])
def test_a_stop_leaves_no_half_written_file(
    command: str, stop: int, engine_folder: Path, engine_head_path: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    arguments, step = {
        "demo": ([output], "generating"),
        "train": ([engine_folder, "-o", output], "embedding"),
        "export": (
            ["--head", engine_head_path, "--calibrate", engine_folder, "-o", output],
            "calibrating",
        ),
    }[command]
    process, master = started(command, *arguments)
    seen = read_until(master, step)
    process.send_signal(stop)
    seen += read_until(master, None)
    os.close(master)
    assert process.wait(20) == 130, seen
    assert "Traceback" not in seen
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("library", ["numpy", "onnxruntime"])
def test_a_stop_while_libraries_load(library: str, engine_folder: Path, tmp_path: Path) -> None:
    command = [EDGEAUDIO, "train", engine_folder, "-o", tmp_path / "t.head"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    maps = Path(f"/proc/{process.pid}/maps")
    while process.poll() is None and library not in maps.read_text():
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_live_view_on_a_terminal(engine_folder: Path, engine_model: Path) -> None:
    source = f"file:{engine_folder / 'broken/broken-02.wav'}"
    process, master = started("listen", "--model", engine_model, "--source", source)
    text = read_until(master, None)
    os.close(master)
    assert process.wait(20) == 0
    assert all(label in text for label in ("level", "dBFS", "broken", "good", "heavy_load", "█"))
    assert "7 windows, 0.0 to 4.0 s" in text


def test_help_and_version() -> None:
    out, _ = edgeaudio("--help")
    for command in ("demo", "train", "export", "classify", "listen", "devices", "verify"):
        assert command in out
    assert "4 no microphone" in out
    out, _ = edgeaudio("--version")
    assert out.startswith("edgeaudio 0.")
    edgeaudio("listen", status=2)


def test_many_channels_and_rates(engine_folder: Path, engine_model: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(engine_folder / "broken/broken-04.wav")
    six = np.stack([samples] * 6, axis=1)
    path = tmp_path / "six.wav"
    soundfile.write(path, six, rate, subtype="PCM_24")
    out, _ = edgeaudio("classify", path, "-m", engine_model, "--json")
    assert objects(out)[0]["label"] == "broken"


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("seconds", [0.1, 0.15])
def test_short_files_through_both_commands(
    engine_model: Path, write_wav, rate: int, seconds: float
) -> None:
    tone = 0.1 * np.sin(np.arange(round(seconds * rate)) / 7)
    path = write_wav("short.wav", tone.astype(np.float32), rate)
    offline, _ = edgeaudio("classify", path, "-m", engine_model, "--json")
    live, _ = edgeaudio("listen", "--source", f"file:{path}", "-m", engine_model)
    (wanted,), (found,) = objects(offline), objects(live)
    assert found["likelihoods"] == wanted["likelihoods"]
    assert found["windows"] == 1


def test_closed_streams(engine_folder: Path, engine_model: Path) -> None:
    good = engine_folder / "good/good-00.wav"
    for closed in (">&-", "2>&-", "<&- >&- 2>&-"):
        command = f"{EDGEAUDIO} classify {good} -m {engine_model} {closed}"
        run = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        assert "Traceback" not in run.stderr


def test_a_reader_that_has_enough(engine_folder: Path, engine_model: Path) -> None:
    source = f"file:{engine_folder / 'shift.flac'}"
    command = f"{EDGEAUDIO} listen -m {engine_model} --source {source} --hop 0.01 | head -1"
    run = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert len(objects(run.stdout)) == 1
    assert "Traceback" not in run.stderr


def test_a_full_disk(engine_folder: Path, engine_model: Path) -> None:
    good = engine_folder / "good/good-00.wav"
    command = f"{EDGEAUDIO} classify {good} -m {engine_model} > /dev/full"
    run = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert run.returncode in (1, 2)
    assert "Traceback" not in run.stderr


def test_names_that_are_no_utf8(engine_folder: Path, engine_model: Path, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    Path(os.fsdecode(odd)).write_bytes((engine_folder / "good/good-00.wav").read_bytes())
    command = [str(EDGEAUDIO).encode(), b"classify", odd, b"-m", os.fsencode(engine_model)]
    for options in ([], [b"--json"]):
        run = subprocess.run([*command, *options], capture_output=True, check=False)
        assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["file"] == os.fsdecode(odd)


def test_force_replaces_the_output_and_nothing_else(
    engine_folder: Path, engine_head_path: Path, tmp_path: Path
) -> None:
    head = tmp_path / "t.head"
    head.write_bytes(engine_head_path.read_bytes())
    _, err = edgeaudio("export", "--head", head, "-o", head, "--force", status=2)
    assert "is read by this command" in err
    _, err = edgeaudio("train", engine_folder, "-o", "/dev/null", "--force", status=2)
    assert "is no regular file" in err
    out = tmp_path / "t.onnx"
    out.write_text("before")
    edgeaudio("export", "--head", head, "-o", out, "--force")
    edgeaudio("verify", out)


def test_demo_in_the_present_folder(tmp_path: Path) -> None:
    run = subprocess.run([EDGEAUDIO, "demo", "."], cwd=tmp_path, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "good" / "good-00.wav").is_file()
    _, err = edgeaudio("demo", "/proc/demo", status=2)
    assert "can't be made" in err


def test_as_a_module() -> None:
    command = [sys.executable, "-m", "edgeaudio", "--version"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.startswith("edgeaudio 0.")
