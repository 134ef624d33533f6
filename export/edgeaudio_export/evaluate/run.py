"""The whole of an evaluation: data set, embeddings, tasks, results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from edgeaudio.errors import DataError, EdgeAudioError
from edgeaudio.files import write_atomic
from edgeaudio.types import F32, FusionName
from edgeaudio_export.datasets import load_dataset
from edgeaudio_export.datasets.recordings import Dataset, Skipped
from edgeaudio_export.evaluate import splits
from edgeaudio_export.evaluate.page import html
from edgeaudio_export.evaluate.report import markdown
from edgeaudio_export.evaluate.results import Comparison, Summary, compare, summarise
from edgeaudio_export.evaluate.tasks import Configuration, Outcome, Task, TaskRunner
from edgeaudio_export.evaluate.windows import Windows, embed_windows, join, without
from edgeaudio_export.extractors import get_extractor
from edgeaudio_export.processes import cores, in_processes
from edgeaudio_export.train import check_head
from edgeaudio_export.versions import versions
from edgeaudio_export.weights.store import make_folder

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Request:
    """What to compare on which data. esc10: take folds and groups from the names of the clips."""

    data: Path
    extractors: tuple[str, ...]
    heads: tuple[str, ...]
    fusions: tuple[FusionName, ...]
    train_fractions: tuple[float, ...]
    esc10: bool = False
    jobs: int = 0


@dataclass(frozen=True)
class Evaluation:
    """Everything that a report is made of. folds: as they were used."""

    dataset: Dataset
    digests: tuple[str, ...]
    folds: tuple[splits.Fold, ...]
    outcomes: tuple[Outcome, ...]
    summaries: dict[Configuration, Summary]
    comparisons: tuple[Comparison, ...]


def evaluate(request: Request, output: Path, progress: Progress) -> Evaluation:
    """Cross-validate every combination, and write `results.json`, `report.md` and
    `report.html` to `output`.

    What a run that was stopped had finished is not done again.
    Raises DataError for data that can't be split without a leak, EdgeAudioError for an unknown
    extractor or head, MissingWeightsError.
    """
    for head in request.heads:
        check_head(head)
    _check_fractions(request.train_fractions)
    names = tuple(get_extractor(name).id for name in request.extractors)
    dataset = load_dataset(request.data)
    dataset = splits.in_order(splits.as_esc10(dataset) if request.esc10 else dataset)
    jobs = request.jobs or cores()
    make_folder(output)
    dataset, digests, windows = _embedded(dataset, names, jobs, output, progress)
    folds = splits.folds_of(dataset)
    splits.check_leaks(dataset, folds, digests)
    tasks = list(_tasks(request, names, dataset, folds))
    runner = (
        windows,
        tuple(r.label for r in dataset.recordings),
        dataset.labels,
        output / "tasks",
        _identity(names, digests),
    )
    make_folder(output / "tasks")
    outcomes = []
    try:
        for outcome in in_processes(jobs, TaskRunner, runner, tasks):
            outcomes.append(outcome)
            progress("training and testing", len(outcomes), len(tasks))
    finally:
        for kept in windows.values():
            kept.path.unlink(missing_ok=True)
    truth = [r.label for r in dataset.recordings]
    summaries = summarise(outcomes, truth, dataset.labels)
    found = Evaluation(dataset, digests, folds, tuple(outcomes), summaries, compare(summaries))
    _write(found, output)
    return found


def _check_fractions(fractions: Sequence[float]) -> None:
    for fraction in fractions:
        if not 0 < fraction < 1:
            raise EdgeAudioError(
                f"A training share of {fraction:g} can't be used; give shares of all recordings "
                "between 0 and 1, as 0.8,0.1."
            )


def _embedded(
    dataset: Dataset, names: Sequence[str], jobs: int, output: Path, progress: Progress
) -> tuple[Dataset, tuple[str, ...], dict[str, Windows]]:
    """The recordings that every extractor can use, their digests and embeddings."""
    digests = splits.digests_of(dataset)
    rows: dict[str, list[F32 | None]] = {}
    skipped: list[Skipped] = []
    for name in names:
        told = partial(progress, f"embedding, {name}")
        rows[name], unusable = embed_windows(dataset, digests, name, jobs, told)
        known = {s.path for s in skipped}
        skipped += [s for s in unusable if s.path not in known]
    usable = without(dataset, skipped)
    kept = {r.path for r in usable.recordings}
    chosen = [i for i, r in enumerate(dataset.recordings) if r.path in kept]
    windows = {
        name: join([r for i in chosen if (r := found[i]) is not None], output / f"windows-{k}.npy")
        for k, (name, found) in enumerate(rows.items())
    }
    return usable, tuple(digests[i] for i in chosen), windows


def _tasks(
    request: Request, names: Sequence[str], dataset: Dataset, folds: Sequence[splits.Fold]
) -> Iterator[Task]:
    grid = product(names, request.heads, request.fusions, request.train_fractions)
    for configuration in (Configuration(*values) for values in grid):
        fraction = configuration.train_fraction
        for fold in folds:
            if splits.uses_all(dataset, fold, fraction):
                yield Task(configuration, fold.name, 0, fold.train, fold.test)
                continue
            for draw in range(splits.DRAWS):
                train = splits.drawn(dataset, fold, fraction, draw)
                if len({dataset.recordings[i].label for i in train}) < len(dataset.labels):
                    raise DataError(f"Fold {fold.name} has a class with nothing to train on.")
                yield Task(configuration, fold.name, draw, train, fold.test)


def _identity(names: Sequence[str], digests: Sequence[str]) -> str:
    """Of everything that shapes an outcome besides its task."""
    extractors = {name: get_extractor(name).digest for name in names}
    text = json.dumps([sorted(extractors.items()), digests, versions("scikit-learn", "soxr")])
    return hashlib.sha256(text.encode()).hexdigest()


def _write(found: Evaluation, output: Path) -> None:
    write_atomic(output / "results.json", _json(found).encode(), overwrite=True)
    write_atomic(output / "report.md", markdown(found).encode(), overwrite=True)
    write_atomic(output / "report.html", html(found, output).encode(), overwrite=True)


def _untimed(value: Summary | Outcome) -> dict[str, Any]:
    """Without the time it took: two runs give the same bytes. The report has it."""
    return {key: v for key, v in asdict(value).items() if key != "seconds"}


def _json(found: Evaluation) -> str:
    dataset = found.dataset
    recordings = [
        {
            "path": splits.relative_name(r.path, dataset.root),
            "label": r.label,
            "group": r.group,
            "sha256": digest,
        }
        for r, digest in zip(dataset.recordings, found.digests, strict=True)
    ]
    extractors = {s.extractor: get_extractor(s.extractor).digest for s in found.summaries.values()}
    content: dict[str, Any] = {
        "schema": 1,
        "versions": versions("scikit-learn", "soxr", "soundfile"),
        "seeds": {"folds": 0, "draws": list(range(splits.DRAWS)), "svm": 0},
        "extractors": extractors,
        "labels": dataset.labels,
        "recordings": recordings,
        "skipped": [{"path": str(s.path), "reason": s.reason} for s in dataset.skipped],
        "grouped": any(r.group for r in dataset.recordings),
        "summary": [_untimed(s) for s in found.summaries.values()],
        "comparisons": [asdict(c) for c in found.comparisons],
        "outcomes": [_untimed(o) for o in found.outcomes],
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)
