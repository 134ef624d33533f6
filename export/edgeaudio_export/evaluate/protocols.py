"""Protocols: what is trained on, what is tested, how often, and with which heads."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgeaudio.types import FusionName
from edgeaudio_export.datasets.recordings import Dataset
from edgeaudio_export.evaluate.splits import (
    DRAWS,
    Fold,
    Trial,
    drawn,
    folds_of,
    group_names,
    has_test_set,
    identity_of_fold,
    uses_all,
)


@dataclass(frozen=True)
class Protocol:
    """What is done unless the user says otherwise. hop: in seconds, None for half a window.

    trials: of one repeat, by share of all recordings to train on. text: for the report.
    """

    id: str
    text: str
    heads: tuple[str, ...]
    trials: Callable[[Dataset, float, int], Iterator[Trial]]
    fusions: tuple[FusionName, ...] = ("late",)
    fractions: tuple[float, ...] = (0.8,)
    repeats: int = 1
    hop: float | None = None


def trials_of(
    protocol: Protocol, dataset: Dataset, fraction: float, repeats: int
) -> tuple[Trial, ...]:
    """All trainings of a configuration. Raises DataError where the data can't be split so."""
    found = []
    for repeat in range(repeats):
        suffix = f"/{repeat + 1}" if repeats > 1 else ""
        for trial in protocol.trials(dataset, fraction, repeat):
            found.append(replace(trial, fold=trial.fold + suffix))
    return tuple(found)


def _folds(dataset: Dataset, fraction: float, repeat: int) -> Iterator[Trial]:
    """Each fold with all of its training recordings, or three draws of a part of them."""
    for fold in folds_of(dataset, seed=repeat):
        if uses_all(dataset, fold, fraction):
            yield Trial(fold.name, 0, repeat, fold.train, fold.test)
            continue
        identity = identity_of_fold(dataset, fold)
        for draw in range(DRAWS):
            train = drawn(dataset, fold.train, fraction, f"{repeat * DRAWS + draw} {identity}")
            yield Trial(fold.name, draw, repeat, train, fold.test)


def _grollmisch2020(dataset: Dataset, fraction: float, repeat: int) -> Iterator[Trial]:
    """With a test set, a fifth of the rest is kept for validation; else a tenth of all."""
    for fold in folds_of(dataset, count=10, seed=repeat):
        seed = f"{repeat} {identity_of_fold(dataset, fold)}"
        validation, rest = _apart(dataset, fold, f"validation {seed}")
        kept = Fold(fold.name, rest, fold.test)
        all_of_it = uses_all(dataset, kept, fraction)
        train = rest if all_of_it else drawn(dataset, rest, fraction, seed)
        test = _balanced(dataset, fold.test, seed)
        yield Trial(fold.name, 0, repeat, train, test, validation)


def _apart(dataset: Dataset, fold: Fold, seed: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Validation and training recordings; groups stay whole, and no class goes whole.

    A fifth of the rest where there is a test set, else a tenth of all.
    """
    groups = group_names(dataset.recordings)
    rest = Counter(dataset.recordings[i].label for i in fold.train)
    if has_test_set(dataset):
        chosen = drawn(dataset, fold.train, 0.2, seed, rest)
    else:
        chosen = drawn(dataset, fold.train, 0.1, seed)
    names = {groups[i] for i in chosen}
    for label in dataset.labels:
        mine = {groups[i] for i in fold.train if dataset.recordings[i].label == label}
        if mine <= names:
            names.discard(min(mine, default=""))
    validation = tuple(i for i in fold.train if groups[i] in names)
    return validation, tuple(i for i in fold.train if groups[i] not in names)


def _balanced(dataset: Dataset, test: Sequence[int], seed: str) -> tuple[int, ...]:
    """As many recordings of each class as the rarest in the test has, drawn."""
    by_label: dict[str, list[int]] = defaultdict(list)
    for i in test:
        by_label[dataset.recordings[i].label].append(i)
    least = min(map(len, by_label.values()))
    found = []
    for label, mine in by_label.items():
        found += random.Random(f"balanced {seed} {label}").sample(mine, least)
    return tuple(sorted(found))


PROTOCOLS: Mapping[str, Protocol] = {
    p.id: p
    for p in (
        Protocol(
            id="folds",
            text="The folds or the test set that the data set gives; else five folds, drawn "
            "stratified with groups whole. A training share of 0.8 or more means all training "
            "folds; a smaller one is drawn three times a fold, in whole groups.",
            heads=("svm",),
            trials=_folds,
        ),
        Protocol(
            id="grollmisch2020",
            text="Grollmisch et al. 2020: the folds that the data set gives, else ten, and a tenth "
            "of the recordings kept for validation; or its test set, and a fifth of the rest kept. "
            "Test recordings are drawn so that all classes have as many. Each run {repeats} times. "
            "Heads are trained for a fixed number of epochs, and the validation part goes unused.",
            heads=("svm", "d128", "d512"),
            trials=_grollmisch2020,
            repeats=2,
        ),
        Protocol(
            id="cramer2019",
            text="Cramer et al. 2019: official folds or test set, embeddings every 0.1 s, class "
            "likelihoods summed over windows, settings of `mlp` chosen on a tenth of the training "
            "recordings.",
            heads=("mlp",),
            trials=_folds,
            hop=0.1,
        ),
    )
}
