"""Models of other frameworks: those of TensorFlow are built once, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.network import open_session
from edgeaudio.types import F32
from edgeaudio_export.foreign import FRONTENDS, ForeignExtractor

BUILDER = Path(__file__).with_name("build_models.py")
QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "CUDA_VISIBLE_DEVICES": "-1",
    "PYTHONWARNINGS": "ignore",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is kept is kept in this test's own folder."""
    monkeypatch.setenv("EDGEAUDIO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def sounds(window: int) -> F32:
    """Three sounds that the import itself does not try, float32 [3, window]."""
    rng = np.random.default_rng(11)
    time = np.arange(window) / 16_000
    hum = np.sin(2 * np.pi * 220 * time) * np.exp(-3 * time)
    rows = [
        0.05 * rng.standard_normal(window),
        0.6 * hum,
        0.01 * np.cumsum(rng.normal(size=window)),
    ]
    return np.clip(np.stack(rows), -1, 1).astype(np.float32)


def embed(extractor: ForeignExtractor, pcm: F32) -> F32:
    """All at once, in plain ONNX Runtime."""
    session = open_session(extractor.build().SerializeToString())
    return np.asarray(session.run(["embedding"], {"pcm": pcm})[0])


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the models of `build_models.py`. Tests that ask for it need the extra `tf`."""
    missing = [n for n in ("tensorflow", "tf_keras", "tf2onnx", "h5py") if find_spec(n) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: the extra `tf` brings them")
    folder = tmp_path_factory.mktemp("foreign")
    np.save(folder / "pcm.npy", sounds(4000))
    logmel = open_session(FRONTENDS["vggish"].graph().SerializeToString())
    np.save(folder / "logmel.npy", logmel.run(None, {"pcm": sounds(15_600)})[0])
    done = subprocess.run(
        [sys.executable, str(BUILDER), str(folder)],
        env=os.environ | QUIET,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder
