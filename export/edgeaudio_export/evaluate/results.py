"""Outcomes to figures: what REPORT/results.json holds."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import wilcoxon

from edgeaudio_export.evaluate.tasks import Configuration, Outcome


@dataclass(frozen=True)
class FoldResult:
    """accuracy: percent of recordings, the mean over draws. test: so many recordings."""

    name: str
    accuracy: float
    test: int


@dataclass(frozen=True)
class Summary:
    """A line of the table.

    train_fraction: as asked for. trained_on: percent of all recordings. accuracy_mean,
    accuracy_sd: percent, over folds; sd of a sample, 0 of a single test set. recall: percent by
    class that was tested, over all folds. confusion: recordings by true (rows) and said label
    (columns), over all folds and draws. seconds: of one core. memory: the most that a process had
    resident, in MB.
    """

    extractor: str
    head: str
    fusion: str
    train_fraction: float
    trained_on: float
    accuracy_mean: float
    accuracy_sd: float
    folds: tuple[FoldResult, ...]
    recall: dict[str, float]
    confusion: tuple[tuple[int, ...], ...]
    seconds: float
    memory: float


@dataclass(frozen=True)
class Comparison:
    """Wilcoxon's signed-rank test over folds, two-sided. p: None where all folds are equal."""

    first: str
    second: str
    difference: float
    p: float | None


def summarise(
    outcomes: Sequence[Outcome], truth: Sequence[str], classes: Sequence[str]
) -> dict[Configuration, Summary]:
    """A summary of each configuration, in the order in which they come. truth: by recording."""
    found: dict[Configuration, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        found[outcome.configuration].append(outcome)
    return {c: _summary(c, mine, truth, classes) for c, mine in found.items()}


def _summary(
    configuration: Configuration,
    outcomes: Sequence[Outcome],
    truth: Sequence[str],
    classes: Sequence[str],
) -> Summary:
    confusion = np.zeros((len(classes), len(classes)), int)
    by_fold: dict[str, list[float]] = defaultdict(list)
    sizes = {}
    for outcome in outcomes:
        right = [a.label == truth[a.recording] for a in outcome.answers]
        by_fold[outcome.fold].append(100 * statistics.mean(right))
        sizes[outcome.fold] = len(right)
        for a in outcome.answers:
            confusion[classes.index(truth[a.recording]), classes.index(a.label)] += 1
    folds = tuple(FoldResult(n, round(statistics.mean(v), 4), sizes[n]) for n, v in by_fold.items())
    accuracies = [fold.accuracy for fold in folds]
    tested = confusion.sum(axis=1)
    recall = {
        label: round(100 * float(confusion[k, k]) / float(tested[k]), 2)
        for k, label in enumerate(classes)
        if tested[k]
    }
    return Summary(
        extractor=configuration.extractor,
        head=configuration.head,
        fusion=configuration.fusion,
        train_fraction=configuration.train_fraction,
        trained_on=round(100 * statistics.mean(o.train for o in outcomes) / len(truth), 1),
        accuracy_mean=round(statistics.mean(accuracies), 4),
        accuracy_sd=round(statistics.stdev(accuracies), 4) if len(accuracies) > 1 else 0.0,
        folds=folds,
        recall=recall,
        confusion=tuple(map(tuple, confusion.tolist())),
        seconds=round(sum(outcome.seconds for outcome in outcomes), 2),
        memory=max(outcome.memory for outcome in outcomes),
    )


def compare(summaries: Mapping[Configuration, Summary]) -> tuple[Comparison, ...]:
    """Every pair of configurations with the same share of training data, over two folds or more."""
    found = []
    for a, b in itertools.combinations(summaries, 2):
        if a.train_fraction != b.train_fraction:
            continue
        if len(summaries[a].folds) < 2:
            continue
        first, second = ([f.accuracy for f in summaries[c].folds] for c in (a, b))
        difference = np.round(np.subtract(first, second), 3)  # equal steps are ties
        p = float(wilcoxon(difference).pvalue) if np.any(difference) else None
        found.append(Comparison(a.name, b.name, round(float(difference.mean()), 4), p))
    return tuple(found)
