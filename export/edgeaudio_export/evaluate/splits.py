"""Folds of a data set: at file level, never through a group, and leaks are errors."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from edgeaudio.errors import DataError
from edgeaudio_export.datasets.recordings import Dataset, Recording, kept_digest

FOLDS = 5
ALL = 0.8
DRAWS = 3
"""How often a part of the training folds is drawn, where not all of it is used."""


@dataclass(frozen=True)
class Fold:
    """One split. train, test: indices of recordings, in ascending order."""

    name: str
    train: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True)
class Trial:
    """One training and its test. draw: which drawing of a part of the training folds.

    seed: of the head. validation: recordings that the protocol keeps out of both.
    """

    fold: str
    draw: int
    seed: int
    train: tuple[int, ...]
    test: tuple[int, ...]
    validation: tuple[int, ...] = ()


def in_order(dataset: Dataset) -> Dataset:
    """Recordings by label and path, so that the order of a manifest changes nothing."""
    ordered = sorted(dataset.recordings, key=lambda r: (r.label, str(r.path)))
    return replace(dataset, recordings=tuple(ordered))


def folds_of(dataset: Dataset, count: int = FOLDS, seed: int = 0) -> tuple[Fold, ...]:
    """The folds, or the test set, that the data set gives.

    Else `count` that are drawn with `seed`, stratified, with groups whole. Raises DataError where
    only some recordings have a fold, or a class has too few groups.
    """
    names = {r.fold for r in dataset.recordings}
    if names == {None}:
        _check_splits(dataset)
        return _test_set(dataset) or _drawn_folds(dataset, count, seed)
    if None in names:
        without = next(r.path for r in dataset.recordings if r.fold is None)
        raise DataError(f"{dataset.root}: some recordings have a fold, and {without} has none.")
    if len(names) < 2:
        raise DataError(f"{dataset.root} has the fold {names.pop()} alone; two are needed.")
    return tuple(
        _fold(name, dataset.recordings, [r.fold == name for r in dataset.recordings])
        for name in sorted(filter(None, names), key=_natural)
    )


def _check_splits(dataset: Dataset) -> None:
    """Raise DataError for splits that say nothing of what to test with."""
    if dataset.has_splits and not has_test_set(dataset):
        found = sorted({r.split or "nothing" for r in dataset.recordings})
        raise DataError(
            f"{dataset.root} has a split column that says {', '.join(found)}; expected rows with "
            "train and rows with test. Without that column folds are drawn."
        )


def has_test_set(dataset: Dataset) -> bool:
    """Whether the data set says what to train on and what to test with, and has no folds."""
    splits = {r.split for r in dataset.recordings}
    return {"train", "test"} <= splits and all(r.fold is None for r in dataset.recordings)


def _test_set(dataset: Dataset) -> tuple[Fold, ...]:
    if not has_test_set(dataset):
        return ()
    train, test = (
        tuple(i for i, r in enumerate(dataset.recordings) if r.split == part)
        for part in ("train", "test")
    )
    return (Fold("test set", train, test),)


def _natural(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isdecimal() else (1 << 60, name)


def _fold(name: str, recordings: Sequence[Recording], is_test: Sequence[bool]) -> Fold:
    indices = range(len(recordings))
    return Fold(
        name,
        tuple(i for i in indices if not is_test[i]),
        tuple(i for i in indices if is_test[i]),
    )


def _drawn_folds(dataset: Dataset, folds: int, seed: int) -> tuple[Fold, ...]:
    labels = [r.label for r in dataset.recordings]
    groups = group_names(dataset.recordings)
    for label in dataset.labels:
        count = len({g for g, found in zip(groups, labels, strict=True) if found == label})
        if count < folds:
            raise DataError(
                f"{dataset.root}: the class {label!r} has {count} "
                f"{'group' if count == 1 else 'groups'} (or single files); {folds} folds need at "
                f"least {folds}. Record more, or give fewer folds in a manifest."
            )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
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
    return tuple(kept_digest(r.path) for r in dataset.recordings)


def with_copies_grouped(dataset: Dataset, digests: Sequence[str]) -> Dataset:
    """Files with the same bytes as one group, where folds are drawn and they have no group.

    Raises DataError if the same bytes have two labels.
    """
    first: dict[str, Recording] = {}
    found = []
    for recording, digest in zip(dataset.recordings, digests, strict=True):
        other = first.setdefault(digest, recording)
        if other.label != recording.label:
            raise DataError(
                f"{other.path} is labelled {other.label!r}, and {recording.path}, which has the "
                f"same bytes, {recording.label!r}; leave one out."
            )
        found.append(recording)
    copies = Counter(digests)
    if max(copies.values(), default=1) == 1 or any(r.fold or r.split for r in found):
        return dataset
    grouped = tuple(
        replace(r, group=f"copies {d[:16]}") if copies[d] > 1 and r.group is None else r
        for r, d in zip(found, digests, strict=True)
    )
    count = sum(n - 1 for n in copies.values())
    note = f"{count} recordings are copies of others, and are kept on one side with them"
    return replace(dataset, recordings=grouped, notes=(*dataset.notes, note))


def check_leaks(dataset: Dataset, trials: Iterable[Trial], digests: Sequence[str]) -> None:
    """Raise DataError if a group, or the same bytes, are on both sides of a trial."""
    recordings = dataset.recordings
    groups = [r.group for r in recordings]
    for trial in trials:
        for what, keys in (("the group", groups), ("the bytes", digests)):
            train = {keys[i]: i for i in (*trial.train, *trial.validation) if keys[i]}
            leaked = next((i for i in trial.test if keys[i] in train), None)
            if leaked is not None:
                other = recordings[train[keys[leaked]]].path
                raise DataError(
                    f"Leak in fold {trial.fold}: {recordings[leaked].path} is for testing, and "
                    f"{other}, which shares {what} of it, for training; leave one out, or give "
                    "both one fold or group in a manifest."
                )


def check_classes(dataset: Dataset, trials: Iterable[Trial]) -> None:
    """Raise DataError if there is a trial without training recordings of a class."""
    for trial in trials:
        lost = {*dataset.labels} - {dataset.recordings[i].label for i in trial.train}
        if lost:
            raise DataError(
                f"In fold {trial.fold} there is nothing to train on of the class {min(lost)!r}."
            )


def drawn(
    dataset: Dataset,
    chosen: Sequence[int],
    fraction: float,
    seed: str,
    counts: Mapping[str, int] | None = None,
) -> tuple[int, ...]:
    """A part of some recordings: whole groups of each class.

    fraction: how much is drawn at least, of `counts` recordings of a class; of ALL if None.
    """
    counts = dataset.counts if counts is None else counts
    recordings = dataset.recordings
    groups = group_names(recordings)
    members: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i in chosen:
        members[recordings[i].label][groups[i]].append(i)
    found: list[int] = []
    for label, by_group in members.items():
        names = sorted(by_group)
        random.Random(f"{seed} {label}").shuffle(names)
        wanted, taken = fraction * counts[label], 0
        for name in names:
            if taken >= wanted:
                break
            found += by_group[name]
            taken += len(by_group[name])
    return tuple(sorted(found))


def uses_all(dataset: Dataset, fold: Fold, fraction: float) -> bool:
    """Whether a share of all recordings means all of the training folds, as 0.8 always does."""
    return fraction >= ALL or fraction * len(dataset.recordings) >= len(fold.train)


def identity_of_fold(dataset: Dataset, fold: Fold) -> str:
    """Of what it tests, whatever it is called and wherever the data set lies."""
    names = sorted(dataset.recordings[i].path.name for i in fold.test)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def relative_name(path: Path, root: Path) -> str:
    """How a report calls a recording."""
    base = root if root.is_dir() else root.parent
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
