"""Folds keep groups whole, and a leak is an error."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from edgeaudio.errors import DataError
from edgeaudio_export.datasets.recordings import Dataset, Recording
from edgeaudio_export.evaluate import splits
from edgeaudio_export.evaluate.protocols import PROTOCOLS, trials_of


def make(tmp_path: Path, groups: bool = True, folds: bool = False) -> Dataset:
    """Two classes of 30 recordings, three of which share a group."""
    recordings = []
    for label in ("bad", "good"):
        for k in range(30):
            path = tmp_path / f"{label}{k:02}.wav"
            path.write_text(path.name)
            group = f"{label}{k // 3}" if groups else None
            fold = str(k // 3 % 10 + 1) if folds else None
            recordings.append(Recording(path, label, group, fold))
    return Dataset(tmp_path, tuple(recordings))


def trials(dataset: Dataset) -> tuple[splits.Trial, ...]:
    return trials_of(PROTOCOLS["folds"], dataset, 0.8, 1)


def test_given_folds_are_used_in_their_natural_order(tmp_path: Path) -> None:
    folds = splits.folds_of(make(tmp_path, folds=True))
    assert [fold.name for fold in folds] == [str(k) for k in range(1, 11)]
    assert all(len(fold.test) == 6 for fold in folds)
    assert all(not set(fold.train) & set(fold.test) for fold in folds)


@pytest.mark.parametrize("groups", [True, False])
def test_drawn_folds_are_stratified_and_keep_groups_whole(tmp_path: Path, groups: bool) -> None:
    dataset = make(tmp_path, groups)
    folds = splits.folds_of(dataset)
    assert sorted(i for fold in folds for i in fold.test) == list(range(60))
    names = splits.group_names(dataset.recordings)
    for fold in folds:
        assert sum(dataset.recordings[i].label == "bad" for i in fold.test) == 6
        assert not {names[i] for i in fold.train} & {names[i] for i in fold.test}


def test_the_order_of_a_manifest_changes_nothing(tmp_path: Path) -> None:
    dataset = make(tmp_path)
    shuffled = list(dataset.recordings)
    random.Random(1).shuffle(shuffled)
    other = splits.in_order(replace(dataset, recordings=tuple(shuffled)))
    assert other == splits.in_order(dataset)
    assert splits.folds_of(other) == splits.folds_of(splits.in_order(dataset))


def test_a_group_on_both_sides_is_a_leak(tmp_path: Path) -> None:
    dataset = make(tmp_path, folds=True)
    first = replace(dataset.recordings[0], fold="2")
    leaky = replace(dataset, recordings=(first, *dataset.recordings[1:]))
    digests = splits.digests_of(leaky)
    splits.check_leaks(dataset, trials(dataset), digests)
    with pytest.raises(DataError, match=r"Leak in fold 1: .*bad01.wav is for testing, and .*bad00"):
        splits.check_leaks(leaky, trials(leaky), digests)


def test_the_same_bytes_on_both_sides_are_a_leak(tmp_path: Path) -> None:
    dataset = make(tmp_path, groups=False, folds=True)
    (tmp_path / "good29.wav").write_text("bad00.wav")
    with pytest.raises(DataError, match="which shares the bytes of it"):
        splits.check_leaks(dataset, trials(dataset), splits.digests_of(dataset))


@pytest.mark.parametrize("fold", [0, 3])
def test_whole_groups_are_drawn(tmp_path: Path, fold: int) -> None:
    dataset = make(tmp_path)
    chosen_fold = splits.folds_of(dataset)[fold]
    train = chosen_fold.train
    draws = [splits.drawn(dataset, train, 0.1, str(draw)) for draw in range(splits.DRAWS)]
    assert len(set(draws)) > 1
    assert draws[0] == splits.drawn(dataset, train, 0.1, "0")
    for chosen in draws:
        assert set(chosen) <= set(chosen_fold.train)
        groups = [dataset.recordings[i].group for i in chosen]
        assert len(groups) == 6  # 10 % of 30 is one group of three, of each class
        assert len(set(groups)) == 2


def test_a_share_of_eight_tenths_is_all(tmp_path: Path) -> None:
    dataset = make(tmp_path, folds=True)
    fold = splits.folds_of(dataset)[0]
    assert splits.uses_all(dataset, fold, 0.8)
    assert not splits.uses_all(dataset, fold, 0.5)


def test_what_can_not_be_split(tmp_path: Path) -> None:
    dataset = make(tmp_path, folds=True)
    some = replace(dataset.recordings[3], fold=None)
    with pytest.raises(DataError, match="some recordings have a fold, and .*bad03.wav has none"):
        splits.folds_of(
            replace(dataset, recordings=(*dataset.recordings[:3], some, *dataset.recordings[4:]))
        )
    with pytest.raises(DataError, match="the class 'bad' has 2 groups"):
        splits.folds_of(replace(make(tmp_path), recordings=make(tmp_path).recordings[:6]))
    only = tuple(replace(r, fold="1") for r in dataset.recordings)
    with pytest.raises(DataError, match="the fold 1 alone"):
        splits.folds_of(replace(dataset, recordings=only))
