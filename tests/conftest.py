"""What tests of several rooms share: reference data, a generated data set, a model of it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeaudio.model import Model, load_model
from edgeaudio.types import F32
from edgeaudio_export.assemble import assemble
from edgeaudio_export.calibration import calibrate
from edgeaudio_export.datasets import load_dataset
from edgeaudio_export.datasets.generated_engine import write_dataset
from edgeaudio_export.extractors import get_extractor
from edgeaudio_export.heads import HeadFile, read_head, write_head
from edgeaudio_export.train import train_head

ROOT = Path(__file__).parents[1]


def quiet(done: float, total: float) -> None:
    """A progress bar that nobody sees."""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data. Tests that ask for it are skipped, saying so, where it is absent."""
    folder = Path(os.environ.get("EDGEAUDIO_SHARED", ROOT.parent / "shared"))
    if not (folder / "data" / "manifest.csv").is_file():
        pytest.skip(f"no reference data at {folder}; set EDGEAUDIO_SHARED to run this test")
    return folder


@pytest.fixture(scope="session")
def engine_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine") / "engine"
    write_dataset(folder, quiet)
    return folder


@pytest.fixture(scope="session")
def engine_head_path(engine_folder: Path) -> Path:
    trained = train_head(load_dataset(engine_folder), get_extractor("logmel-stats"), "svm", "late")
    path = engine_folder.parent / "engine.head"
    write_head(trained.head, path)
    return path


@pytest.fixture(scope="session")
def engine_head(engine_head_path: Path) -> HeadFile:
    return read_head(engine_head_path)


@pytest.fixture(scope="session")
def engine_model(engine_folder: Path, engine_head: HeadFile) -> Path:
    extractor = get_extractor("logmel-stats")
    calibration = calibrate(load_dataset(engine_folder), extractor, quiet)
    path = engine_folder.parent / "engine.onnx"
    path.write_bytes(assemble(extractor, engine_head, calibration=calibration))
    return path


@pytest.fixture(scope="session")
def early_model(engine_folder: Path) -> Path:
    extractor = get_extractor("logmel-stats")
    trained = train_head(load_dataset(engine_folder), extractor, "svm", "early")
    path = engine_folder.parent / "early.onnx"
    path.write_bytes(assemble(extractor, trained.head))
    return path


@pytest.fixture(scope="session")
def model(engine_model: Path) -> Model:
    return load_model(engine_model)


@pytest.fixture(scope="session")
def noise() -> F32:
    """Three seconds of pinkish noise at 16 kHz, float32 [48000]."""
    rng = np.random.default_rng(7)
    walk = np.cumsum(rng.standard_normal(48_000))
    high = walk - np.convolve(walk, np.ones(64) / 64, mode="same")
    return (0.1 * high / np.abs(high).max()).astype(np.float32)


@pytest.fixture
def write_wav(tmp_path: Path):
    """Write samples to a new WAV in this test's folder; returns its path."""

    def write(name: str, samples: F32, rate: int = 16_000, subtype: str = "FLOAT") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate, subtype=subtype)
        return path

    return write
