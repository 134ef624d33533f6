"""Evaluations of the generated engine, whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from edgeaudio.errors import EdgeAudioError
from edgeaudio_export.evaluate import tasks, windows
from edgeaudio_export.evaluate.run import Evaluation, Request, evaluate


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEAUDIO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def quiet(what: str, done: int, total: int) -> None:
    """Progress that nobody sees."""


def run(data: Path, output: Path, **changes: object) -> Evaluation:
    values: dict = {
        "extractors": ("logmel-stats",),
        "heads": ("svm",),
        "fusions": ("late",),
        "train_fractions": (0.8,),
        "jobs": 1,
    }
    return evaluate(Request(data, **(values | changes)), output, quiet)


def test_every_combination_is_tried(engine_folder: Path, tmp_path: Path) -> None:
    found = run(
        engine_folder, tmp_path / "r", fusions=("late", "early"), train_fractions=(0.8, 0.2)
    )
    results = json.loads((tmp_path / "r" / "results.json").read_text())
    assert [(s["fusion"], s["train_fraction"]) for s in results["summary"]] == [
        ("late", 0.8),
        ("late", 0.2),
        ("early", 0.8),
        ("early", 0.2),
    ]
    first = results["summary"][0]
    assert len(first["folds"]) == 5
    accuracies = [fold["accuracy"] for fold in first["folds"]]
    assert first["accuracy_mean"] == pytest.approx(np.mean(accuracies), abs=1e-3)
    assert first["accuracy_sd"] == pytest.approx(np.std(accuracies, ddof=1), abs=1e-3)
    # Every recording is tested once; with a smaller share, in each of three draws.
    assert sum(map(sum, first["confusion"])) == 60
    assert sum(map(sum, results["summary"][1]["confusion"])) == 180
    for outcome in results["outcomes"]:
        for answer in outcome["answers"]:
            assert sum(answer["likelihoods"]) == pytest.approx(1, abs=1e-4)
            best = int(np.argmax(answer["likelihoods"]))
            assert answer["label"] == results["labels"][best]
    truth = [r["label"] for r in results["recordings"]]
    right = [
        a["label"] == truth[a["recording"]] for o in results["outcomes"][:5] for a in o["answers"]
    ]
    assert 100 * np.mean(right) == pytest.approx(first["accuracy_mean"], abs=1e-3)
    assert len(found.comparisons) == 2  # only with the same share
    report = (tmp_path / "r" / "report.md").read_text()
    assert "**No groups are known.**" in report
    assert f"**{first['accuracy_mean']:.1f} ± {first['accuracy_sd']:.1f}**" in report


def test_it_is_what_training_and_classifying_give(engine_folder: Path, tmp_path: Path) -> None:
    """The same embeddings as `train` makes, and the same fused likelihoods."""
    from edgeaudio_export.datasets import load_dataset
    from edgeaudio_export.datasets.recordings import Dataset
    from edgeaudio_export.embed import embed_dataset
    from edgeaudio_export.extractors import get_extractor
    from edgeaudio_export.heads import SvmHead

    found = run(engine_folder, tmp_path / "r")
    outcome, fold = found.outcomes[0], found.folds[0]
    chosen = Dataset(engine_folder, tuple(found.dataset.recordings[i] for i in fold.train))
    assert load_dataset(engine_folder).labels == chosen.labels
    embedded = embed_dataset(chosen, get_extractor("logmel-stats"), None, lambda a, b: None)
    y = np.repeat([r.label for r in chosen.recordings], [len(e) for e in embedded.embeddings])
    head = SvmHead().fit(np.concatenate(embedded.embeddings), y)
    tested = Dataset(engine_folder, tuple(found.dataset.recordings[i] for i in fold.test))
    wanted = embed_dataset(tested, get_extractor("logmel-stats"), None, lambda a, b: None)
    for answer, rows in zip(outcome.answers, wanted.embeddings, strict=True):
        likelihoods = head.predict_proba(rows).sum(axis=0) / len(rows)
        assert np.allclose(answer.likelihoods, likelihoods, atol=2e-6)


def test_two_runs_are_identical_in_any_number_of_processes(
    engine_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(engine_folder, tmp_path / "one")
    monkeypatch.setenv("EDGEAUDIO_HOME", str(tmp_path / "other"))
    run(engine_folder, tmp_path / "two", jobs=2)
    one, two = ((tmp_path / name / "results.json").read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_second_run_opens_no_recording_and_does_no_task_again(
    engine_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(engine_folder, tmp_path / "r")
    before = (tmp_path / "r" / "results.json").read_bytes()

    def refuse(*_: object) -> None:
        raise AssertionError("this was done before")

    monkeypatch.setattr(windows._Embedder, "__call__", refuse)
    monkeypatch.setattr(tasks.TaskRunner, "_run", refuse)
    run(engine_folder, tmp_path / "r")
    assert (tmp_path / "r" / "results.json").read_bytes() == before


def test_a_run_that_was_killed_goes_on(
    engine_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tasks.Task] = []
    real = tasks.TaskRunner._run

    def dying(self: tasks.TaskRunner, task: tasks.Task) -> tasks.Outcome:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(task)
        return real(self, task)

    monkeypatch.setattr(tasks.TaskRunner, "_run", dying)
    with pytest.raises(KeyboardInterrupt):
        run(engine_folder, tmp_path / "r")
    assert not (tmp_path / "r" / "results.json").exists()
    monkeypatch.setattr(
        tasks.TaskRunner, "_run", lambda self, task: done.append(task) or real(self, task)
    )
    run(engine_folder, tmp_path / "r")
    assert len(done) == 5
    assert len({task.fold for task in done}) == 5


def test_what_can_not_be_read_is_left_out(engine_folder: Path, tmp_path: Path) -> None:
    rows = [
        f"{path},{path.parent.name}"
        for path in sorted(engine_folder.glob("*/*.wav"))
        if path.parent.name != "broken"
    ]
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF")
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,label\n" + "\n".join([*rows, f"{bad},good"]) + "\n")
    found = run(manifest, tmp_path / "r")
    assert [s.path for s in found.dataset.skipped] == [bad]
    assert "Not used: bad.wav" in (tmp_path / "r" / "report.md").read_text()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"heads": ("svn",)}, "There is no head 'svn'"),
        ({"extractors": ("openl4",)}, "There is no extractor 'openl4'"),
        ({"train_fractions": (1.5,)}, "A training share of 1.5 can't be used"),
        ({"esc10": True}, "is not named as ESC-10's clips"),
    ],
)
def test_what_is_refused(engine_folder: Path, tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(EdgeAudioError, match=said):
        run(engine_folder, tmp_path / "r", **changes)


def test_the_page_needs_nothing_else(engine_folder: Path, tmp_path: Path) -> None:
    found = run(engine_folder, tmp_path / "r", train_fractions=(0.8, 0.05))
    page = (tmp_path / "r" / "report.html").read_text()
    addresses = set(re.findall(r'(?:src|href)="([^"]+)"', page))
    local = {a for a in addresses if not a.startswith("#")}
    # All that is linked are recordings, which lie where they lay.
    assert all((tmp_path / "r" / unquote(a)).is_file() for a in local)
    assert page.count("<svg") >= 4  # accuracy, amount of data, a matrix each, reliability
    summary = next(iter(found.summaries.values()))
    assert f"{summary.accuracy_mean:.1f} ± {summary.accuracy_sd:.1f}" in page
    assert "<script" not in page


def test_names_in_the_page_are_no_html(engine_folder: Path, tmp_path: Path) -> None:
    rows = []
    for path in sorted(engine_folder.glob("*/*.wav")):
        label = {"good": "<b>good</b>", "broken": "a|b"}.get(path.parent.name)
        rows += [f"{path},{label}"] if label else []
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,label\n" + "\n".join(rows) + "\n")
    run(manifest, tmp_path / "r")
    page = (tmp_path / "r" / "report.html").read_text()
    assert "&lt;b&gt;good&lt;/b&gt;" in page
    assert "<b>good" not in page
    assert "a\\|b" in (tmp_path / "r" / "report.md").read_text()
