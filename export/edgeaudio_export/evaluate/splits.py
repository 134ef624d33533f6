"""Folds of a data set: at file level, never through a group, and leaks are errors."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from edgeaudio.errors import DataError
from edgeaudio_export.datasets.recordings import Dataset, Recording, file_digest

FOLDS = 5
ALL = 0.8
DRAWS = 3
"""How often a part of the training folds is drawn, where not all of it is used."""

_ESC10 = re.compile(r"(?P<fold>[1-5])-(?P<origin>\d+)-[A-Z]\.\w+")


@dataclass(frozen=True)
class Fold:
    """One split. train, test: indices of recordings, in ascending order."""

    name: str
    train: tuple[int, ...]
    test: tuple[int, ...]


def as_esc10(dataset: Dataset) -> Dataset:
    """Folds and origins from the names of ESC-10's clips, FOLD-ORIGIN-TAKE.

    Raises DataError for another name.
    """
    found = []
    for recording in dataset.recordings:
        name = _ESC10.fullmatch(recording.path.name)
        if name is None:
            raise DataError(f"{recording.path} is not named as ESC-10's clips (1-17367-A.ogg).")
        found.append(replace(recording, fold=name["fold"], group=name["origin"]))
    return replace(dataset, recordings=tuple(found))


def in_order(dataset: Dataset) -> Dataset:
    """Recordings by label and path, so that the order of a manifest changes nothing."""
    ordered = sorted(dataset.recordings, key=lambda r: (r.label, str(r.path)))
    return replace(dataset, recordings=tuple(ordered))


def folds_of(dataset: Dataset) -> tuple[Fold, ...]:
    """The folds that the data set gives, else five that are stratified and keep groups whole.

    Raises DataError where only some recordings have a fold, or a class has too few groups.
    """
    names = {r.fold for r in dataset.recordings}
    if names == {None}:
        return _drawn_folds(dataset)
    if None in names:
        without = next(r.path for r in dataset.recordings if r.fold is None)
        raise DataError(f"{dataset.root}: some recordings have a fold, and {without} has none.")
    if len(names) < 2:
        raise DataError(f"{dataset.root} has the fold {names.pop()} alone; two are needed.")
    return tuple(
        _fold(name, dataset.recordings, [r.fold == name for r in dataset.recordings])
        for name in sorted(filter(None, names), key=_natural)
    )


def _natural(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isdecimal() else (1 << 60, name)


def _fold(name: str, recordings: Sequence[Recording], is_test: Sequence[bool]) -> Fold:
    indices = range(len(recordings))
    return Fold(
        name,
        tuple(i for i in indices if not is_test[i]),
        tuple(i for i in indices if is_test[i]),
    )


def _drawn_folds(dataset: Dataset) -> tuple[Fold, ...]:
    labels = [r.label for r in dataset.recordings]
    groups = group_names(dataset.recordings)
    for label in dataset.labels:
        count = len({g for g, found in zip(groups, labels, strict=True) if found == label})
        if count < FOLDS:
            raise DataError(
                f"{dataset.root}: the class {label!r} has {count} groups (or single files); "
                f"{FOLDS} folds need at least {FOLDS}."
            )
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    found = []
    for number, (_, test) in enumerate(splitter.split(np.zeros(len(labels)), labels, groups), 1):
        chosen = set(test.tolist())
        is_test = [i in chosen for i in range(len(labels))]
        found.append(_fold(str(number), dataset.recordings, is_test))
    return tuple(found)


def group_names(recordings: Sequence[Recording]) -> list[str]:
    """The group of each recording; a file without one is its own."""
    return [f"group {r.group}" if r.group else f"file {r.path}" for r in recordings]


def digests_of(dataset: Dataset) -> tuple[str, ...]:
    """SHA-256 of each recording."""
    return tuple(file_digest(r.path) for r in dataset.recordings)


def check_leaks(dataset: Dataset, folds: Sequence[Fold], digests: Sequence[str]) -> None:
    """Raise DataError if a group, or the same bytes, are on both sides of a fold."""
    recordings = dataset.recordings
    groups = [r.group for r in recordings]
    for fold in folds:
        for what, keys in (("the group", groups), ("the bytes", digests)):
            train = {keys[i]: i for i in fold.train if keys[i]}
            leaked = next((i for i in fold.test if keys[i] in train), None)
            if leaked is not None:
                other = recordings[train[keys[leaked]]].path
                raise DataError(
                    f"Leak in fold {fold.name}: {recordings[leaked].path} is for testing, and "
                    f"{other}, which shares {what} of it, for training; give both one fold."
                )


def drawn(dataset: Dataset, fold: Fold, fraction: float, draw: int) -> tuple[int, ...]:
    """A part of the training recordings: whole groups of each class.

    fraction: of ALL recordings of the class, which is how much is drawn at least.
    """
    recordings = dataset.recordings
    groups = group_names(recordings)
    members: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i in fold.train:
        members[recordings[i].label][groups[i]].append(i)
    chosen: list[int] = []
    for label, by_group in members.items():
        names = sorted(by_group)
        random.Random(f"{draw} {fold.name} {label}").shuffle(names)
        wanted, taken = fraction * dataset.counts[label], 0
        for name in names:
            if taken >= wanted:
                break
            chosen += by_group[name]
            taken += len(by_group[name])
    return tuple(sorted(chosen))


def uses_all(dataset: Dataset, fold: Fold, fraction: float) -> bool:
    """Whether a share of all recordings means all of the training folds, as 0.8 always does."""
    return fraction >= ALL or fraction * len(dataset.recordings) >= len(fold.train)


def relative_name(path: Path, root: Path) -> str:
    """How a report calls a recording."""
    base = root if root.is_dir() else root.parent
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
