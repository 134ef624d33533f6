"""Evaluations of the generated engine, whole."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile

from edgeaudio.errors import EdgeAudioError, MissingExtraError
from edgeaudio_export.datasets.known import KNOWN
from edgeaudio_export.engines import LocalEngine
from edgeaudio_export.evaluate import tasks, windows
from edgeaudio_export.evaluate.plan import Request
from edgeaudio_export.evaluate.run import Evaluation, evaluate
from edgeaudio_export.heads import training


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEAUDIO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def quiet(what: str, done: int, total: int) -> None:
    """Progress that nobody sees."""


def run(data: Path, output: Path, jobs: int = 1, **changes: object) -> Evaluation:
    values: dict = {
        "extractors": ("logmel-stats",),
        "heads": ("svm",),
        "fusions": ("late",),
        "train_fractions": (0.8,),
        "baselines": (),
    }
    return evaluate(Request(data, **(values | changes)), output, quiet, LocalEngine(jobs))


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
    outcome, fold = found.outcomes[0], found.trials[0.8][0]
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
    assert len({task.trial.fold for task in done}) == 5


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
        ({"known": KNOWN["esc10"]}, "is not named as ESC's clips are"),
        ({"protocol": "mine"}, "There is no protocol 'mine'; there are: folds, grollmisch2020"),
        ({"baselines": ("rnn",)}, "There is no baseline 'rnn'; there is: cnn, dense"),
    ],
)
def test_what_is_refused(engine_folder: Path, tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(EdgeAudioError, match=said):
        run(engine_folder, tmp_path / "r", **changes)


def test_the_page_needs_nothing_else(engine_folder: Path, tmp_path: Path) -> None:
    found = run(engine_folder, tmp_path / "r", train_fractions=(0.8, 0.05), audio=False)
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


def test_another_label_is_another_task(engine_folder: Path, tmp_path: Path) -> None:
    """What is kept of a task is of these labels: recordings that are relabelled are done anew."""
    paths = sorted(engine_folder.glob("*/*.wav"))
    reports = []
    for k in range(2):
        labels = [f"{'ab'[(i + k) % 2]}" for i in range(len(paths))]
        pairs = enumerate(zip(paths, labels, strict=True))
        rows = [f"{p},{label},{i % 5}" for i, (p, label) in pairs]
        (tmp_path / "m.csv").write_text("path,label,fold\n" + "\n".join(rows) + "\n")
        reports.append(run(tmp_path / "m.csv", tmp_path / f"r{k}"))
    one, two = (
        {e.dataset.recordings[a.recording].path: a.label for o in e.outcomes for a in o.answers}
        for e in reports
    )
    assert one != two


def test_repeats_use_other_seeds(engine_folder: Path, tmp_path: Path) -> None:
    found = run(engine_folder, tmp_path / "r", repeats=2)
    assert [t.fold for t in found.trials[0.8]] == [f"{k}/{r}" for r in (1, 2) for k in range(1, 6)]
    assert found.trials[0.8][0].test != found.trials[0.8][5].test
    (summary,) = found.summaries.values()
    assert len(summary.folds) == 10


def test_a_test_set_is_one_fold(engine_folder: Path, tmp_path: Path) -> None:
    rows = [
        f"{p},{p.parent.name},{'test' if k % 4 == 0 else 'train'}"
        for k, p in enumerate(sorted(engine_folder.glob("*/*.wav")))
    ]
    (tmp_path / "m.csv").write_text("path,label,split\n" + "\n".join(rows) + "\n")
    found = run(tmp_path / "m.csv", tmp_path / "r", fusions=("late", "early"))
    assert [len(s.folds) for s in found.summaries.values()] == [1, 1]
    assert found.comparisons == ()  # one figure each proves nothing
    assert "fold test set" in (tmp_path / "r" / "report.md").read_text()


def test_networks_from_scratch_stand_beside(engine_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    found = run(engine_folder, tmp_path / "r", train_fractions=(0.05,), baselines=("dense",))
    results = json.loads((tmp_path / "r" / "results.json").read_text())
    assert [(s["extractor"], s["head"], s["from_scratch"]) for s in results["summary"]] == [
        ("logmel-stats", "svm", False),
        ("logmel-stats", "d128", True),
    ]
    assert found.baselines[0] in found.summaries
    page = (tmp_path / "r" / "report.html").read_text()
    assert "Trained on this task alone" not in page  # nothing pre-trained was tried beside
    assert "logmel-stats (from scratch)" in page


def test_without_torch_the_report_says_what_is_missing(
    engine_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "find_spec", lambda name: None)
    found = run(engine_folder, tmp_path / "r", baselines=None)
    assert found.baselines == ()
    assert "nothing was trained from scratch" in (tmp_path / "r" / "report.md").read_text()
    with pytest.raises(MissingExtraError):
        run(engine_folder, tmp_path / "r", baselines=("dense",))


def test_published_figures_stand_beside(engine_folder: Path, tmp_path: Path) -> None:
    run(engine_folder, tmp_path / "r", known=KNOWN["t2"])
    report = (tmp_path / "r" / "report.md").read_text()
    assert "| Grollmisch et al. 2020 | OpenL3 | svm | 97.0 | not tried |" in report
    assert "Licence: not published." in report


def test_a_page_with_the_sound_inside(engine_folder: Path, tmp_path: Path) -> None:
    found = run(engine_folder, tmp_path / "r", train_fractions=(0.05,))
    page = (tmp_path / "r" / "report.html").read_text()
    sounds = re.findall(r'src="data:audio/ogg;base64,([^"]+)"', page)
    assert sounds
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sounds[0])))
    assert len(samples) > rate
    assert not re.findall(r'src="(?!data:)', page)
    assert len(found.summaries) == 1


def test_another_hop_is_another_embedding(engine_folder: Path, tmp_path: Path) -> None:
    half, third = (run(engine_folder, tmp_path / f"r{h}", hop=h) for h in (None, 0.3))
    assert half.hop is None
    assert third.hop == 0.3
    assert [o.answers for o in half.outcomes] != [o.answers for o in third.outcomes]


def test_a_class_that_is_not_tested(engine_folder: Path, tmp_path: Path) -> None:
    rows = [
        f"{p},{p.parent.name},{'test' if k % 4 == 0 and p.parent.name != 'good' else 'train'}"
        for k, p in enumerate(sorted(engine_folder.glob("*/*.wav")))
    ]
    (tmp_path / "m.csv").write_text("path,label,split\n" + "\n".join(rows) + "\n")
    found = run(tmp_path / "m.csv", tmp_path / "r")
    (summary,) = found.summaries.values()
    assert set(summary.recall) == {"broken", "heavy_load"}
    assert "| good | not tested |" in (tmp_path / "r" / "report.md").read_text()
    page = (tmp_path / "r" / "report.html").read_text()
    assert "from fold to fold" not in page  # there is one test set


def test_a_leak_is_found_before_the_work(
    engine_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        f"{p},{p.parent.name},{k % 3},one"
        for k, p in enumerate(sorted(engine_folder.glob("*/*.wav")))
    ]
    (tmp_path / "m.csv").write_text("path,label,fold,group\n" + "\n".join(rows) + "\n")
    monkeypatch.setattr(windows, "WindowEmbedder", None)
    with pytest.raises(EdgeAudioError, match="which shares the group of it"):
        run(tmp_path / "m.csv", tmp_path / "r")


def test_a_report_inside_the_data_would_be_a_class(engine_folder: Path) -> None:
    with pytest.raises(EdgeAudioError, match="inside the data set; name a folder elsewhere"):
        run(engine_folder, engine_folder / "report")


def test_nothing_is_left_beside_the_report(engine_folder: Path, tmp_path: Path) -> None:
    run(engine_folder, tmp_path / "r")
    assert {p.name for p in (tmp_path / "r").iterdir()} == {
        "results.json",
        "report.md",
        "report.html",
    }
