"""`edgeaudio listen` on a real audio stack: virtual microphones play ESC-10 clips in real time.

The ALSA device behaves like USB hardware: one rate, one channel count, no conversion. The
PulseAudio one goes through a sound server. A recording's alignment to the windows is
arbitrary there, so decisions are compared with `classify` clip by clip.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from edgeaudio.classify import classify_file
from edgeaudio.model import Model, load_model
from edgeaudio_export.assemble import assemble
from edgeaudio_export.datasets import load_dataset
from edgeaudio_export.extractors import get_extractor
from edgeaudio_export.train import train_head

pytestmark = pytest.mark.microphone

EDGEAUDIO = Path(sys.executable).parent / "edgeaudio"
CLIPS_PER_CLASS = 2
CLIP_SECONDS = 5.0
HORIZON = 4.0
MICROPHONES = 4  # at the same time


@dataclass(frozen=True)
class Tape:
    """Some clips one after the other, with what `classify` says of each."""

    samples: np.ndarray  # float64 [frames, 2]
    labels: tuple[str, ...]


@pytest.fixture(scope="module")
def esc10_model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    extractor = get_extractor("logmel-stats")
    trained = train_head(load_dataset(shared / "data" / "esc10"), extractor, "svm", "late")
    path = tmp_path_factory.mktemp("esc10") / "esc10.onnx"
    path.write_bytes(assemble(extractor, trained.head))
    return path


def tapes(shared: Path, model: Model, rate: int) -> list[Tape]:
    folders = sorted(p for p in (shared / "data" / "esc10").iterdir() if p.is_dir())
    paths = [path for f in folders for path in sorted(f.iterdir())[:CLIPS_PER_CLASS]]
    found = []
    for number in range(MICROPHONES):
        mine = paths[number::MICROPHONES]
        labels = tuple(classify_file(path, model).label for path in mine)
        found.append(Tape(np.concatenate([clip(path, rate) for path in mine]), labels))
    return found


def clip(path: Path, rate: int) -> np.ndarray:
    """Exactly five seconds in stereo; the channels differ, their mean is the recording."""
    samples, source_rate = soundfile.read(path, always_2d=True)
    mono = soxr.resample(samples.mean(axis=1), source_rate, rate)
    mono = np.resize(np.pad(mono, (0, rate)), round(CLIP_SECONDS * rate))
    return np.stack([1.2 * mono, 0.8 * mono], axis=1).clip(-1, 1)


def agreement(tape: Tape, decisions: list[dict], begin: float, slack: float) -> tuple[int, int]:
    """Clips whose label is that of most horizons inside it; and how many clips had one.

    begin: where the tape begins, in seconds of the microphone's clock, give or take `slack`.
    """
    right = judged = 0
    for number, label in enumerate(tape.labels):
        start = begin + number * CLIP_SECONDS
        inside = [
            d["label"]
            for d in decisions
            if d["start_sample"] / 16_000 >= start + slack
            and d["end_sample"] / 16_000 <= start + CLIP_SECONDS - slack
        ]
        if inside:
            judged += 1
            right += Counter(inside).most_common(1)[0][0] == label
    return right, judged


def listen(model: Path, environment: dict[str, str], *options: str) -> subprocess.Popen[str]:
    command = [EDGEAUDIO, "listen", "--model", model, "--json", "--horizon", str(HORIZON), *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def decisions_of(process: subprocess.Popen[str]) -> tuple[list[dict], str]:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()], err


# The ALSA device


@pytest.fixture(scope="module")
def alsa_plugin(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("gcc") or not Path("/usr/include/alsa/asoundlib.h").exists():
        pytest.skip("no compiler or ALSA headers; apt install gcc libasound2-dev")
    library = tmp_path_factory.mktemp("alsa") / "libasound_module_pcm_fakemic.so"
    source = shared / "tools" / "fakemic" / "pcm_fakemic.c"
    options = ["-O2", "-fPIC", "-shared", "-DPIC", "-w"]
    subprocess.run(["gcc", *options, "-o", library, source, "-lasound"], check=True)
    return library


def plug_in(plugin: Path, home: Path, tape: np.ndarray, rate: int) -> dict[str, str]:
    """An environment in which the microphone `usbmic` plays `tape`; `home/ctl` makes it fail."""
    home.mkdir()
    (home / "ctl").write_text("ok")
    (np.round(tape * 32767).astype("<i2")).tofile(home / "tape.raw")
    (home / ".asoundrc").write_text(
        f'pcm_type.fakemic {{ lib "{plugin}" }}\n'
        f'pcm.usbmic {{ type fakemic file "{home}/tape.raw" rate {rate} '
        f'channels {tape.shape[1]} ctl "{home}/ctl" hint {{ show on description "mic" }} }}\n'
    )
    return os.environ | {"HOME": str(home)}


@pytest.mark.parametrize("rate", [48_000, 44_100])
def test_alsa_microphone_hears_what_classify_says(
    shared: Path, esc10_model: Path, alsa_plugin: Path, tmp_path: Path, rate: int
) -> None:
    played = tapes(shared, load_model(esc10_model), rate)
    processes = []
    for number, tape in enumerate(played):
        environment = plug_in(alsa_plugin, tmp_path / str(number), tape.samples, rate)
        seconds = str(len(tape.samples) / rate)
        options = ("--device", "usbmic", "--seconds", seconds)
        processes.append(listen(esc10_model, environment, *options))
    right = judged = 0
    for tape, process in zip(played, processes, strict=True):
        decisions, err = decisions_of(process)
        assert f"usbmic, {rate} Hz, 2 channel(s)" in err
        r, j = agreement(tape, decisions, begin=0.0, slack=0.0)
        right, judged = right + r, judged + j
    assert judged == 10 * CLIPS_PER_CLASS
    assert right >= 0.95 * judged, f"{right} of {judged} clips"


def test_alsa_microphone_is_sample_exact(
    engine_model: Path, engine_folder: Path, alsa_plugin: Path, tmp_path: Path
) -> None:
    """A microphone at the model's own rate gives the very numbers of the file."""
    samples, rate = soundfile.read(engine_folder / "shift.flac")
    tape = soxr.resample(samples, rate, 16_000)[:, None]
    environment = plug_in(alsa_plugin, tmp_path / "home", tape, 16_000)
    live, err = decisions_of(
        listen(engine_model, environment, "--device", "usbmic", "--seconds", "6")
    )
    assert "16000 Hz, 1 channel(s)" in err
    raw = np.fromfile(tmp_path / "home" / "tape.raw", "<i2")
    soundfile.write(tmp_path / "tape.wav", raw, 16_000, subtype="PCM_16")
    source = f"file:{tmp_path / 'tape.wav'}"
    offline, _ = decisions_of(
        listen(engine_model, environment, "--source", source, "--seconds", "6")
    )
    for decision in (*live, *offline):
        del decision["time"]
    assert live == offline


def test_devices_lists_the_microphone(alsa_plugin: Path, tmp_path: Path) -> None:
    environment = plug_in(alsa_plugin, tmp_path / "home", np.zeros((100, 2)), 44_100)
    run = subprocess.run(
        [EDGEAUDIO, "devices", "--json"],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    found = [json.loads(line) for line in run.stdout.splitlines()]
    (usbmic,) = (m for m in found if m["name"] == "usbmic")
    assert (usbmic["channels"], usbmic["sample_rate"]) == (2, 44_100)
    assert sum(m["default"] for m in found) == 1
    table = subprocess.run(
        [EDGEAUDIO, "devices"], capture_output=True, text=True, env=environment, check=True
    )
    assert "usbmic" in table.stdout
    assert "44100 Hz" in table.stdout


def test_unknown_microphone_lists_what_there_is(
    engine_model: Path, alsa_plugin: Path, tmp_path: Path
) -> None:
    environment = plug_in(alsa_plugin, tmp_path / "home", np.zeros((100, 1)), 48_000)
    process = listen(engine_model, environment, "--device", "jabra")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (4, "")
    assert "No microphone is called 'jabra'. There are: " in err
    assert "'usbmic'" in err


def test_no_microphone_at_all(engine_model: Path, tmp_path: Path) -> None:
    environment = os.environ | {"HOME": str(tmp_path), "PULSE_SERVER": "unix:/nonexistent"}
    devices = subprocess.run([EDGEAUDIO, "devices"], capture_output=True, env=environment)
    if devices.returncode == 0:
        pytest.skip("this machine has a microphone of its own")
    process = listen(engine_model, environment)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (4, ""), err
    assert "There is no microphone here" in err
    assert devices.returncode == 4


@pytest.mark.parametrize("failure", ["stall", "gone"])
def test_a_microphone_that_dies_ends_listening(
    engine_model: Path, alsa_plugin: Path, tmp_path: Path, failure: str
) -> None:
    """It must not read as a quiet machine: no decision comes after it, and the status is 4."""
    rng = np.random.default_rng(0)
    tape = 0.1 * rng.standard_normal((48_000 * 30, 1))
    environment = plug_in(alsa_plugin, tmp_path / "home", tape, 48_000)
    # PortAudio itself may write without end about a lost device; nobody reads that here.
    with (tmp_path / "err").open("w") as errors:
        process = subprocess.Popen(
            [EDGEAUDIO, "listen", "-m", engine_model, "--device", "usbmic", "--horizon", "1"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        (tmp_path / "home" / "ctl").write_text(failure)
        died = time.monotonic()
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 4
    assert time.monotonic() - died < 10
    heard = max(json.loads(line)["end_sample"] for line in (first + out).splitlines()) / 16_000
    assert heard < 20
    with (tmp_path / "err").open(errors="replace") as errors:
        assert any("stopped delivering sound" in line for line in errors)


# PulseAudio


@pytest.fixture
def pulse(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A private sound server with a virtual microphone for each tape; gives the environment."""
    needed = ("pulseaudio", "pactl", "paplay")
    plugins = list(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so"))
    if not all(map(shutil.which, needed)) or not plugins:
        pytest.skip("no PulseAudio; apt install pulseaudio pulseaudio-utils libasound2-plugins")
    (tmp_path / ".asoundrc").write_text("pcm.!default { type pulse }\n")
    socket = tmp_path / "native"
    sinks = [
        f"-L module-null-sink sink_name=mic{n} rate=44100 format=s16le channels=2"
        for n in range(MICROPHONES)
    ]
    options = "-n --daemonize=no --exit-idle-time=-1 --use-pid-file=no --disable-shm=yes"
    load = f"-L|module-native-protocol-unix auth-anonymous=1 socket={socket}".split("|")
    modules = [part for sink in sinks for part in sink.split(" ", 1)]
    environment = os.environ | {
        "HOME": str(tmp_path),
        "PULSE_SERVER": f"unix:{socket}",
        "PULSE_RUNTIME_PATH": str(tmp_path),
    }
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            ["pulseaudio", *options.split(), "--realtime=no", *load, *modules],
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        try:
            _wait_for(socket)
            yield environment
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, "PulseAudio did not start"
        time.sleep(0.1)


def test_pulseaudio_microphone_hears_what_classify_says(
    shared: Path, esc10_model: Path, pulse: dict[str, str], tmp_path: Path
) -> None:
    played = tapes(shared, load_model(esc10_model), 44_100)
    listeners, players, begins = [], [], []
    for number in range(MICROPHONES):
        environment = pulse | {"PULSE_SOURCE": f"mic{number}.monitor"}
        seconds = str(len(played[number].samples) / 44_100 + 6)
        options = ("--device", "default", "--seconds", seconds)
        listeners.append(listen(esc10_model, environment, *options))
    firsts = [_first_decision(process) for process in listeners]
    for number, (tape, first) in enumerate(zip(played, firsts, strict=True)):
        path = tmp_path / f"tape{number}.wav"
        soundfile.write(path, tape.samples, 44_100, subtype="PCM_16")
        players.append(subprocess.Popen(["paplay", f"--device=mic{number}", path], env=pulse))
        # The decision came right after its last sample: that ties the two clocks together.
        begins.append(first["end_sample"] / 16_000 + time.time() - first["arrived"])
    right = judged = 0
    for tape, listener, begin in zip(played, listeners, begins, strict=True):
        decisions, _ = decisions_of(listener)
        r, j = agreement(tape, decisions, begin, slack=0.25)
        right, judged = right + r, judged + j
    for player in players:
        player.wait(60)
    assert judged >= 0.9 * 10 * CLIPS_PER_CLASS
    assert right >= 0.95 * judged, f"{right} of {judged} clips"


def _first_decision(process: subprocess.Popen[str]) -> dict:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr.read() if process.stderr else ""
    return json.loads(line) | {"arrived": time.time()}
