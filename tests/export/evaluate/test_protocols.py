"""What the papers' protocols train on and test."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from edgeaudio.errors import DataError
from edgeaudio_export.datasets.recordings import Dataset, Recording
from edgeaudio_export.evaluate import splits
from edgeaudio_export.evaluate.protocols import PROTOCOLS, trials_of

COUNTS = {"a": 60, "b": 30}


def make(test_set: bool = False) -> Dataset:
    """Pairs that share a group; the last third of each class to test where there is a test set."""
    recordings = [
        Recording(
            Path(f"/{label}{k}.wav"),
            label,
            group=f"{label}{k // 2}",
            split=("test" if k >= 2 * n // 3 else "train") if test_set else None,
        )
        for label, n in COUNTS.items()
        for k in range(n)
    ]
    return Dataset(Path("/"), tuple(recordings), has_splits=test_set)


def labels_of(dataset: Dataset, chosen: tuple[int, ...]) -> Counter[str]:
    return Counter(dataset.recordings[i].label for i in chosen)


@pytest.mark.parametrize("test_set", [False, True])
@pytest.mark.parametrize("fraction", [0.8, 0.1])
@pytest.mark.parametrize("id", PROTOCOLS)
def test_nothing_leaks(id: str, fraction: float, test_set: bool) -> None:
    dataset = make(test_set)
    trials = trials_of(PROTOCOLS[id], dataset, fraction, 2)
    splits.check_leaks(dataset, trials, [str(k) for k in range(90)])
    splits.check_classes(dataset, trials)
    groups = splits.group_names(dataset.recordings)
    for trial in trials:
        parts = [{groups[i] for i in p} for p in (trial.train, trial.validation, trial.test)]
        assert not parts[0] & parts[1]
        assert not parts[1] & parts[2]
    assert len({(t.fold, t.draw) for t in trials}) == len(trials)
    assert {t.seed for t in trials} == {0, 1}
    assert trials == trials_of(PROTOCOLS[id], dataset, fraction, 2)


def test_grollmisch_without_a_test_set() -> None:
    dataset = make()
    trials = trials_of(PROTOCOLS["grollmisch2020"], dataset, 0.8, 2)
    assert len(trials) == 20  # ten folds, twice
    assert {t.fold for t in trials} >= {"1/1", "10/2"}
    for trial in trials:
        assert len(set(labels_of(dataset, trial.test).values())) == 1  # balanced
        assert len(trial.validation) == pytest.approx(9, abs=3)
        assert len(trial.train) == pytest.approx(72, abs=4)
    assert trials[0].test != trials[10].test


def test_grollmisch_with_a_test_set() -> None:
    dataset = make(test_set=True)
    (first, second) = trials_of(PROTOCOLS["grollmisch2020"], dataset, 0.8, 2)
    assert labels_of(dataset, first.test) == {"a": 10, "b": 10}
    assert {dataset.recordings[i].split for i in first.test} == {"test"}
    assert len(first.validation) == pytest.approx(12, abs=4)  # a fifth of 60
    assert len(first.train) + len(first.validation) == 60
    assert first.validation != second.validation


def test_a_tenth_is_of_all_recordings() -> None:
    dataset = make()
    for trial in trials_of(PROTOCOLS["grollmisch2020"], dataset, 0.1, 1):
        assert labels_of(dataset, trial.train) == {"a": 6, "b": 4}  # whole pairs


def test_official_folds_stay_what_they_are() -> None:
    dataset = make()
    folded = [replace(r, fold=str(k // 2 % 3)) for k, r in enumerate(dataset.recordings)]
    dataset = replace(dataset, recordings=tuple(folded))
    for id, protocol in PROTOCOLS.items():
        for trial in trials_of(protocol, dataset, 0.8, 1):
            assert {folded[i].fold for i in trial.test} == {trial.fold}, id


@pytest.mark.parametrize("fraction", [0.8, 0.1])
@pytest.mark.parametrize("id", PROTOCOLS)
def test_what_folds_are_called_changes_nothing(id: str, fraction: float) -> None:
    dataset = make()
    numbered, renamed = (
        replace(
            dataset,
            recordings=tuple(
                replace(r, fold=names[k // 2 % 3]) for k, r in enumerate(dataset.recordings)
            ),
        )
        for names in ("123", "cab")
    )
    one, two = (
        {(t.train, t.validation, t.test) for t in trials_of(PROTOCOLS[id], d, fraction, 1)}
        for d in (numbered, renamed)
    )
    assert one == two


def test_a_fifth_of_the_rest_is_kept_of_each_class() -> None:
    """Whatever the test set holds of it."""
    recordings = [
        Recording(Path(f"/{label}{split}{k}.wav"), label, split=split)
        for label, split, n in (
            ("a", "train", 20),
            ("a", "test", 200),
            ("b", "train", 200),
            ("b", "test", 20),
        )
        for k in range(n)
    ]
    dataset = Dataset(Path("/"), tuple(recordings), has_splits=True)
    (trial,) = trials_of(PROTOCOLS["grollmisch2020"], dataset, 0.8, 1)
    assert labels_of(dataset, trial.validation) == {"a": 4, "b": 40}


def test_the_papers_settings() -> None:
    grollmisch, cramer = PROTOCOLS["grollmisch2020"], PROTOCOLS["cramer2019"]
    assert (grollmisch.heads, grollmisch.repeats) == (("svm", "d128", "d512"), 2)
    assert (cramer.heads, cramer.hop, cramer.repeats) == (("mlp",), 0.1, 1)


def test_a_class_with_nothing_to_train_on() -> None:
    dataset = make(test_set=True)
    only = [replace(r, split="test") if r.label == "b" else r for r in dataset.recordings]
    dataset = replace(dataset, recordings=tuple(only))
    with pytest.raises(DataError, match="nothing to train on of the class 'b'"):
        splits.check_classes(dataset, trials_of(PROTOCOLS["folds"], dataset, 0.8, 1))
