"""`edgeaudio evaluate`, as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import edgeaudio


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAUDIO_HOME", str(tmp_path / "home"))


def test_the_demo(engine_folder: Path, tmp_path: Path) -> None:
    report = tmp_path / "r"
    out, err = edgeaudio(
        *("evaluate", engine_folder, "--fusion", "late,early", "--train-fraction", "0.8,0.1"),
        *("--baseline", "none", "-j", "2", "-o", report),
    )
    lines = out.splitlines()
    assert lines[0].split() == ["extractor", "head", "fusion", "training", "accuracy", "sd"]
    assert len(lines) == 6
    assert lines[-1] == str(report / "report.html")
    assert "no groups are known" in err
    summary = json.loads((report / "results.json").read_text())["summary"]
    assert lines[1].split()[5] == f"{summary[0]['accuracy_mean']:.1f}"


def test_a_leak_is_refused(engine_folder: Path, tmp_path: Path) -> None:
    paths = sorted(engine_folder.glob("*/*.wav"))
    rows = [f"{p},{p.parent.name},g{k},{k % 4}" for k, p in enumerate(paths)]
    rows[1] = rows[1].replace(",g1,", ",g0,")
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,label,group,fold\n" + "\n".join(rows) + "\n")
    _, err = edgeaudio("evaluate", manifest, "-o", tmp_path / "r", status=2)
    assert "Leak in fold 0" in err
    assert "which shares the group of it" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--fusion", "later"), "There is no fusion 'later'; there is: late, early, early-mean"),
        (("--train-fraction", "much"), "'much' is no share of the recordings"),
        (("--head", ","), "--head names nothing"),
        (("--extractor", "yamnet"), "edgeaudio weights import yamnet"),
    ],
)
def test_what_is_refused(
    engine_folder: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    _, err = edgeaudio("evaluate", engine_folder, *options, "-o", tmp_path / "r", status=2)
    assert said in err


def test_esc10(shared: Path, tmp_path: Path) -> None:
    """Reference: logmel-stats + svm 77.5 ± 3."""
    data = shared / "data" / "esc10"
    edgeaudio("evaluate", data, "--dataset", "esc10", "--baseline", "none", "-o", tmp_path / "r")
    (summary,) = json.loads((tmp_path / "r" / "results.json").read_text())["summary"]
    assert summary["accuracy_mean"] == pytest.approx(77.5, abs=3)
