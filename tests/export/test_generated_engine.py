from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeaudio.errors import OutputExistsError
from edgeaudio_export.datasets import generated_engine as generated
from edgeaudio_export.datasets import load_dataset
from tests.conftest import quiet


def test_twenty_files_a_class_that_call_themselves_generated(engine_folder: Path) -> None:
    assert load_dataset(engine_folder).counts == {"broken": 20, "good": 20, "heavy_load": 20}
    assert "GENERATED" in (engine_folder / "README.txt").read_text()


def test_deterministic(engine_folder: Path) -> None:
    rng = np.random.default_rng((generated.SEED, 2, 7))
    again = generated.engine("broken", generated.SECONDS, rng)
    samples, rate = soundfile.read(engine_folder / "broken" / "broken-07.wav")
    assert rate == generated.SAMPLE_RATE
    assert np.abs(samples - again).max() <= 2**-15


def test_no_file_clips_or_is_silent(engine_folder: Path) -> None:
    for path in engine_folder.rglob("*.wav"):
        samples, _ = soundfile.read(path)
        assert 0.02 < np.abs(samples).max() < 1, path


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(OutputExistsError, match="not empty"):
        generated.write_dataset(tmp_path, quiet)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_interrupted_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupt(done: float, total: float) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generated.write_dataset(tmp_path / "demo", interrupt)
    assert list(tmp_path.iterdir()) == []
