"""`train` says what `evaluate` would."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgeaudio.errors import DataError
from edgeaudio.model import load_model
from edgeaudio_export.datasets import load_dataset
from edgeaudio_export.embed import Embedded, embed_dataset
from edgeaudio_export.evaluate.cross_validate import cross_validate
from edgeaudio_export.extractors import get_extractor
from edgeaudio_export.heads import read_head
from tests.cli.command import edgeaudio


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAUDIO_HOME", str(tmp_path / "home"))


@pytest.fixture
def embedded(engine_folder: Path) -> Embedded:
    extractor = get_extractor("logmel-stats")
    return embed_dataset(load_dataset(engine_folder), extractor, None, lambda a, b: None)


def test_the_figures_are_evaluates_and_stay_with_the_model(
    engine_folder: Path, tmp_path: Path
) -> None:
    report, head, model = (tmp_path / name for name in ("r", "e.head", "e.onnx"))
    edgeaudio("evaluate", engine_folder, "--baseline", "none", "-o", report)
    (summary,) = json.loads((report / "results.json").read_text())["summary"]
    out, _ = edgeaudio("train", engine_folder, "-o", head)
    said = f"{summary['accuracy_mean']:.1f} ± {summary['accuracy_sd']:.1f} %"
    assert f"cross-validated: {said} of recordings right in 5 folds" in out
    edgeaudio("export", "--head", head, "-o", model)
    info = load_model(model).contract.head
    assert info is not None
    assert info.training is not None
    found = info.training.cross_validation
    assert found is not None
    assert found.accuracy_mean == summary["accuracy_mean"]
    assert found.recall == summary["recall"]
    assert (found.folds, found.grouped) == (5, False)
    assert said in edgeaudio("verify", model)[0]


def test_too_little_data_is_trained_on_all_the_same(engine_folder: Path, tmp_path: Path) -> None:
    rows = [f"{p},{p.parent.name}" for p in sorted(engine_folder.glob("*/*-0[0-2]*.wav"))]
    rows = rows or [
        f"{p},{folder.name}"
        for folder in sorted(engine_folder.iterdir())
        for p in sorted(folder.glob("*.wav"))[:3]
    ]
    (tmp_path / "m.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    out, err = edgeaudio("train", tmp_path / "m.csv", "-o", tmp_path / "e.head")
    assert "note: not cross-validated" in err
    assert "5 folds need at least 5" in err
    assert "cross-validated:" not in out
    training = read_head(tmp_path / "e.head").info.training
    assert training is not None
    assert training.cross_validation is None


def test_it_can_be_left_out(engine_folder: Path, tmp_path: Path) -> None:
    edgeaudio("train", engine_folder, "--no-cross-validate", "-o", tmp_path / "e.head")
    training = read_head(tmp_path / "e.head").info.training
    assert training is not None
    assert training.cross_validation is None


def test_a_leak_is_not_validated(embedded: Embedded) -> None:
    recordings = [
        replace(r, group="one", fold=str(k % 2)) for k, r in enumerate(embedded.dataset.recordings)
    ]
    leaky = replace(embedded.dataset, recordings=tuple(recordings))
    with pytest.raises(DataError, match="Leak in fold"):
        cross_validate(
            Embedded(leaky, embedded.embeddings),
            get_extractor("logmel-stats"),
            "svm",
            "late",
            hop=None,
        )
