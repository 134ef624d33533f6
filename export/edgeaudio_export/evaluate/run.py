"""The whole of an evaluation: data set, embeddings, tasks, results."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgeaudio.errors import EdgeAudioError
from edgeaudio.files import write_atomic
from edgeaudio_export.datasets import load_dataset
from edgeaudio_export.datasets.recordings import Dataset, Skipped
from edgeaudio_export.engines import Engine, get_engine
from edgeaudio_export.evaluate import splits
from edgeaudio_export.evaluate.json_file import results_json
from edgeaudio_export.evaluate.page import html
from edgeaudio_export.evaluate.plan import Plan, Request, make_plan
from edgeaudio_export.evaluate.protocols import Protocol, trials_of
from edgeaudio_export.evaluate.report import markdown
from edgeaudio_export.evaluate.results import Comparison, Summary, compare, summarise
from edgeaudio_export.evaluate.tasks import (
    Configuration,
    Outcome,
    Task,
    material_of,
    outcomes_of,
)
from edgeaudio_export.evaluate.windows import Windows, embed_windows, join_files, without
from edgeaudio_export.extractors import Extractor
from edgeaudio_export.weights.store import make_folder

_REPORT = ("results.json", "report.md", "report.html")
Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Evaluation:
    """Everything that a report is made of.

    trials: by share of the recordings to train on. extractors: by id. baselines: configurations
    that were trained from scratch. notes: what the reader should be told besides.
    """

    request: Request
    protocol: Protocol
    dataset: Dataset
    digests: tuple[str, ...]
    extractors: Mapping[str, Extractor]
    trials: Mapping[float, tuple[splits.Trial, ...]]
    outcomes: tuple[Outcome, ...]
    summaries: Mapping[Configuration, Summary]
    comparisons: tuple[Comparison, ...]
    hop: float | None
    repeats: int
    baselines: tuple[Configuration, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Configuration:
        """The most accurate."""
        return self.ranked[0]

    @property
    def ranked(self) -> list[Configuration]:
        """The most accurate first."""
        return sorted(self.summaries, key=lambda c: -self.summaries[c].accuracy_mean)

    @property
    def folds(self) -> int:
        """How many figures a mean is made of."""
        return len(self.summaries[self.best].folds)

    def is_scratch(self, configuration: Configuration) -> bool:
        """Whether it is one of the baselines, with either fusion."""
        pair = (configuration.extractor, configuration.head)
        return pair in {(c.extractor, c.head) for c in self.baselines}


def evaluate(
    request: Request, output: Path, progress: Progress, engine: Engine | None = None
) -> Evaluation:
    """Cross-validate every combination, and write `results.json`, `report.md` and
    `report.html` to `output`.

    What was done before, by a run that was stopped or for another report, is not done again.
    Raises DataError for data that can't be split without a leak, EdgeAudioError for an unknown
    extractor or head, MissingWeightsError.
    """
    engine = engine or get_engine("local")
    plan = make_plan(request)
    output = output.absolute()
    _check_output(request.data, output)
    make_folder(output)
    dataset = splits.in_order(load_dataset(request.data, request.known))
    digests = splits.digests_of(dataset)
    dataset = splits.with_copies_grouped(dataset, digests)
    trials = _trials(plan, dataset, digests)  # what can't be split is said before hours of work
    files, skipped = _embedded(dataset, digests, plan, engine, progress)
    if skipped:
        dataset, digests, files = _usable(dataset, digests, files, skipped)
        trials = _trials(plan, dataset, digests)
    tasks = [Task(c, trial) for c in plan.configurations for trial in trials[c.train_fraction]]

    def joined(id: str, path: Path) -> Windows:
        return join_files([f for f in files[id] if f], plan.extractors[id].dimensions, path)

    told = partial(progress, "training and testing")
    material = material_of(dataset, digests, plan.extractors, plan.hop)
    outcomes = outcomes_of(tasks, material, joined, engine, told)
    truth = [r.label for r in dataset.recordings]
    summaries = summarise(outcomes, truth, dataset.labels)
    found_all = Evaluation(
        request=request,
        protocol=plan.protocol,
        dataset=dataset,
        digests=digests,
        extractors=plan.extractors,
        trials=trials,
        outcomes=outcomes,
        summaries=summaries,
        comparisons=compare(summaries),
        hop=plan.hop,
        repeats=plan.repeats,
        baselines=plan.baselines,
        notes=plan.notes,
    )
    for name, write in (("results.json", results_json), ("report.md", markdown)):
        write_atomic(output / name, write(found_all).encode(), overwrite=True)
    write_atomic(output / "report.html", html(found_all, output).encode(), overwrite=True)
    return found_all


def _check_output(data: Path, output: Path) -> None:
    """Raise EdgeAudioError for a report that would lie among the classes, or can't be written."""
    for name in _REPORT:
        if (output / name).is_dir():
            raise EdgeAudioError(f"{output / name} is a folder; a report would be written there.")
    if output.is_file():
        raise EdgeAudioError(f"{output} is a file; name a folder for the report.")
    if output.is_dir() and not os.access(output, os.W_OK):
        raise EdgeAudioError(f"The folder {output} can't be written to; name another.")
    if data.is_dir() and output.resolve().is_relative_to(data.resolve()):
        raise EdgeAudioError(
            f"The report would lie in {output}, inside the data set; name a folder elsewhere."
        )


def _trials(
    plan: Plan, dataset: Dataset, digests: Sequence[str]
) -> dict[float, tuple[splits.Trial, ...]]:
    """By share to train on. Raises DataError for what can't be split without a leak."""
    trials = {f: trials_of(plan.protocol, dataset, f, plan.repeats) for f in plan.fractions}
    for found in trials.values():
        splits.check_leaks(dataset, found, digests)
        splits.check_classes(dataset, found)
    return trials


def _embedded(
    dataset: Dataset, digests: Sequence[str], plan: Plan, engine: Engine, progress: Progress
) -> tuple[dict[str, list[Path | None]], list[Skipped]]:
    """Files with embeddings by extractor; and what some extractor can't use."""
    files: dict[str, list[Path | None]] = {}
    skipped: dict[Path, Skipped] = {}
    for name, extractor in plan.extractors.items():
        told = partial(progress, f"embedding, {name}")
        files[name], unusable = embed_windows(dataset, digests, extractor, plan.hop, engine, told)
        skipped |= {s.path: s for s in unusable if s.path not in skipped}
    return files, list(skipped.values())


def _usable(
    dataset: Dataset,
    digests: Sequence[str],
    files: Mapping[str, Sequence[Path | None]],
    skipped: Sequence[Skipped],
) -> tuple[Dataset, tuple[str, ...], dict[str, list[Path | None]]]:
    """All of it without what can't be used. Raises DataError if a class is left empty."""
    usable = without(dataset, skipped)
    kept = {r.path for r in usable.recordings}
    chosen = [i for i, r in enumerate(dataset.recordings) if r.path in kept]
    left = {name: [found[i] for i in chosen] for name, found in files.items()}
    return usable, tuple(digests[i] for i in chosen), left
