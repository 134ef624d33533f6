"""`edgeaudio listen`: which error comes first, and sound that went on while the model loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from tests.cli.command import edgeaudio, objects

NO_SUCH = ("--device", "no such microphone")


def test_what_is_wrong_with_the_model_comes_before_the_microphone(
    engine_model: Path, engine_head_path: Path, tmp_path: Path
) -> None:
    data = engine_model.read_bytes()
    tampered = tmp_path / "tampered.onnx"
    tampered.write_bytes(data[:-100] + bytes([data[-100] ^ 1]) + data[-99:])
    for model, message in (
        (tmp_path / "missing.onnx", "can't be read"),
        (tampered, "was damaged or changed"),
        (engine_head_path, "it is a head file"),
    ):
        _, err = edgeaudio("listen", "--model", model, *NO_SUCH, status=3)
        assert message in err
    edgeaudio("listen", "--model", engine_model, *NO_SUCH, status=4)


def test_the_same_with_a_recording_in_real_time(engine_head_path: Path, tmp_path: Path) -> None:
    source = f"file:{tmp_path / 'missing.wav'}"
    _, err = edgeaudio(
        "listen", "--model", engine_head_path, "--source", source, "--realtime", status=3
    )
    assert "it is a head file" in err


def test_nothing_is_missing_of_a_recording_in_real_time(engine_model: Path, tmp_path: Path) -> None:
    """It goes on while the model is loaded; what was heard by then is caught up with."""
    path = tmp_path / "a.wav"
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 3 * 16_000)
    soundfile.write(path, noise, 16_000)
    common = ("listen", "-m", engine_model, "--source", f"file:{path}", "--horizon", "1", "--json")
    found = []
    for extra in ((), ("--realtime",), ("--realtime", "--block", "100"), ("--block", "777")):
        out, _ = edgeaudio(*common, *extra)
        found.append([{**o, "time": None} for o in objects(out)])
        assert len(found[-1]) >= 3
    assert found[1:] == found[:1] * 3
