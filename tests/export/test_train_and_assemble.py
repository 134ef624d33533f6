from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeaudio.contract import golden_samples
from edgeaudio.errors import DataError, EdgeAudioError
from edgeaudio.model import Model, load_model
from edgeaudio_export.assemble import assemble, join
from edgeaudio_export.calibration import calibrate
from edgeaudio_export.datasets import load_dataset
from edgeaudio_export.extractors import get_extractor
from edgeaudio_export.heads import HeadFile
from edgeaudio_export.train import train_head
from tests.conftest import quiet

EXTRACTOR = get_extractor("logmel-stats")


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    """Two classes of a second and a half, high and low tones, one file each."""
    rng = np.random.default_rng(0)
    for label, hz in (("high", 3000), ("low", 300)):
        (tmp_path / "tones" / label).mkdir(parents=True)
        tone = 0.2 * np.sin(2 * np.pi * hz * np.arange(24_000) / 16_000)
        sound = tone + 0.01 * rng.standard_normal(24_000)
        soundfile.write(tmp_path / "tones" / label / "a.wav", sound, 16_000)
    return tmp_path / "tones"


def test_head_knows_where_it_comes_from(engine_head: HeadFile) -> None:
    info = engine_head.info
    assert info.training is not None
    assert info.extractor_id == "logmel-stats"
    assert info.extractor_digest == EXTRACTOR.digest
    assert info.training.recordings == {"broken": 20, "good": 20, "heavy_load": 20}
    assert info.training.windows == {"broken": 140, "good": 140, "heavy_load": 140}
    assert len(info.training.dataset_digest) == 64
    assert "scikit-learn" in info.training.versions


@pytest.mark.parametrize("fusion", ["late", "early", "early-mean"])
def test_one_file_a_class_is_enough(tones: Path, tmp_path: Path, fusion: str) -> None:
    trained = train_head(load_dataset(tones), EXTRACTOR, "svm", fusion)  # type: ignore[arg-type]
    assert trained.head.info.fusion == fusion
    path = tmp_path / "m.onnx"
    path.write_bytes(assemble(EXTRACTOR, trained.head))
    from edgeaudio.classify import classify_file

    model = load_model(path)
    for label in ("high", "low"):
        assert classify_file(tones / label / "a.wav", model).label == label


def test_unusable_files_are_skipped_with_a_reason(tones: Path) -> None:
    (tones / "low" / "empty.wav").write_bytes(b"")
    (tones / "low" / "text.wav").write_bytes(b"hello")
    soundfile.write(tones / "low" / "short.wav", np.zeros(1599), 16_000)
    soundfile.write(tones / "low" / "just-enough.wav", np.zeros(1600), 16_000)
    soundfile.write(tones / "low" / "nan.wav", np.full(16_000, np.nan), 16_000, subtype="FLOAT")
    trained = train_head(load_dataset(tones), EXTRACTOR, "svm", "late")
    reasons = {s.path.name: s.reason for s in trained.dataset.skipped}
    assert set(reasons) == {"empty.wav", "text.wav", "short.wav", "nan.wav"}
    assert "0 bytes" in reasons["empty.wav"]
    assert "too short" in reasons["short.wav"]
    assert trained.dataset.counts == {"high": 1, "low": 2}
    assert trained.head.info.training is not None
    assert trained.head.info.training.skipped == 4


def test_a_class_with_nothing_left(tones: Path) -> None:
    (tones / "low" / "a.wav").write_bytes(b"hello")
    with pytest.raises(DataError, match="left of the class 'low' .*can't be read as sound"):
        train_head(load_dataset(tones), EXTRACTOR, "svm", "late")


def test_unknown_extractor_and_head(tones: Path) -> None:
    with pytest.raises(EdgeAudioError, match="no extractor 'x'; see `edgeaudio extractors`"):
        get_extractor("x")
    with pytest.raises(EdgeAudioError, match="no head 'x'; there are: svm, d128"):
        train_head(load_dataset(tones), EXTRACTOR, "x", "late")


def test_head_of_another_extractor(engine_head: HeadFile) -> None:
    for changes, message in (
        ({"extractor_id": "other"}, "trained on 'other', not on 'logmel-stats'"),
        ({"extractor_digest": "0" * 64}, "another version of 'logmel-stats'.*train it anew"),
    ):
        foreign = HeadFile(replace(engine_head.info, **changes), engine_head.graph)
        with pytest.raises(EdgeAudioError, match=message):
            assemble(EXTRACTOR, foreign)


def test_horizon_shorter_than_a_window(engine_head: HeadFile) -> None:
    with pytest.raises(EdgeAudioError, match="shorter than one window"):
        assemble(EXTRACTOR, engine_head, horizon=0.5)


def test_names_inside_extractor_and_head_may_be_the_same(engine_head: HeadFile) -> None:
    network = EXTRACTOR.graph()
    for node in network.graph.node:
        node.output[:] = ["score" if n == "cast.1" else n for n in node.output]
        node.input[:] = ["score" if n == "cast.1" else n for n in node.input]
    joined = join(network, engine_head.graph)
    names = [n for node in joined.graph.node for n in node.output]
    assert len(names) == len(set(names))
    assert "head.score" in names


def test_calibration_gives_levels_and_one_recorded_window_a_class(
    engine_folder: Path, model: Model
) -> None:
    found = calibrate(load_dataset(engine_folder), EXTRACTOR, quiet)
    assert list(found.windows) == [f"recorded: {label}" for label in model.labels]
    assert found.levels.windows == 420
    assert found.levels.p05 < found.levels.p50 < found.levels.p95
    assert model.contract.levels == found.levels
    stored = {v.name: golden_samples(v, 16_000) for v in model.contract.golden}
    name = "recorded: good"
    assert np.abs(stored[name] - found.windows[name]).max() <= 2**-15


def test_no_recording_is_stored_unless_asked_for(engine_head: HeadFile, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(assemble(EXTRACTOR, engine_head))
    contract = load_model(path).contract
    assert [v.name for v in contract.golden] == ["noise", "sweep", "hum", "silence"]
    assert contract.levels is None
