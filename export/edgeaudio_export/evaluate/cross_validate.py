"""How good a head will be that is trained on all the data: the same, with a part held out."""

from __future__ import annotations

from pathlib import Path

from edgeaudio.contract import CrossValidation
from edgeaudio.types import FusionName
from edgeaudio_export.datasets.recordings import Dataset
from edgeaudio_export.embed import Embedded, Progress
from edgeaudio_export.engines import get_engine
from edgeaudio_export.evaluate import splits
from edgeaudio_export.evaluate.protocols import PROTOCOLS, trials_of
from edgeaudio_export.evaluate.results import summarise
from edgeaudio_export.evaluate.splits import Trial
from edgeaudio_export.evaluate.tasks import (
    Configuration,
    Task,
    material_of,
    outcomes_of,
)
from edgeaudio_export.evaluate.windows import Windows, join
from edgeaudio_export.extractors import Extractor

_QUICK = ("svm", "knn")
"""Heads for which starting processes takes longer than training."""


def cross_validate(
    embedded: Embedded,
    extractor: Extractor,
    head: str,
    fusion: FusionName,
    *,
    hop: float | None,
    jobs: int = 0,
    progress: Progress = lambda done, total: None,
) -> CrossValidation:
    """`evaluate`'s figures, by its folds, for a configuration whose embeddings are there.

    hop: in seconds, as they were embedded. jobs: processes, 0 for one a core.
    Raises DataError where there is too little data for folds, or they would leak.
    """
    dataset, digests, trials = held_out(embedded.dataset)
    by_path = dict(zip(embedded.dataset.recordings, embedded.embeddings, strict=True))
    rows = [by_path[original] for original in splits.in_order(embedded.dataset).recordings]
    configuration = Configuration(extractor.id, head, fusion, splits.ALL)
    engine = get_engine("local", 1 if head in _QUICK else jobs)
    tasks = [Task(configuration, trial) for trial in trials]

    def joined(id: str, path: Path) -> Windows:
        return join(rows, [len(r) for r in rows], extractor.dimensions, path)

    material = material_of(dataset, digests, {extractor.id: extractor}, hop)
    outcomes = outcomes_of(tasks, material, joined, engine, progress)
    labels = [r.label for r in dataset.recordings]
    summary = summarise(outcomes, labels, dataset.labels)[configuration]
    return CrossValidation(
        accuracy_mean=summary.accuracy_mean,
        accuracy_sd=summary.accuracy_sd,
        folds=len(summary.folds),
        recall=summary.recall,
        grouped=any(r.group for r in dataset.recordings),
    )


def held_out(dataset: Dataset) -> tuple[Dataset, tuple[str, ...], tuple[Trial, ...]]:
    """The data set in the order of its trials, the digests of its recordings, and `evaluate`'s
    folds of it.

    Raises DataError where there is too little data for folds, or they would leak.
    """
    ordered = splits.in_order(dataset)
    digests = splits.digests_of(ordered)
    ordered = splits.with_copies_grouped(ordered, digests)
    trials = tuple(trials_of(PROTOCOLS["folds"], ordered, splits.ALL, repeats=1))
    splits.check_leaks(ordered, trials, digests)
    splits.check_classes(ordered, trials)
    return ordered, digests, trials
