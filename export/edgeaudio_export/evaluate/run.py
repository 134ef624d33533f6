"""The whole of an evaluation: data set, embeddings, tasks, results."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path

from edgeaudio.errors import EdgeAudioError, MissingExtraError
from edgeaudio.files import write_atomic
from edgeaudio.types import FusionName
from edgeaudio_export.datasets import load_dataset
from edgeaudio_export.datasets.known import KnownSet
from edgeaudio_export.datasets.recordings import Dataset, Skipped
from edgeaudio_export.engines import Engine, get_engine
from edgeaudio_export.evaluate import splits
from edgeaudio_export.evaluate.json_file import results_json
from edgeaudio_export.evaluate.page import html
from edgeaudio_export.evaluate.protocols import PROTOCOLS, Protocol, trials_of
from edgeaudio_export.evaluate.report import markdown
from edgeaudio_export.evaluate.results import Comparison, Summary, compare, summarise
from edgeaudio_export.evaluate.tasks import (
    Configuration,
    Material,
    Outcome,
    Task,
    TaskRunner,
    effort,
    material_of,
)
from edgeaudio_export.evaluate.windows import embed_windows, join_files, without
from edgeaudio_export.extractors import Extractor, get_extractor
from edgeaudio_export.heads.kinds import check_head, goes_with
from edgeaudio_export.weights.store import make_folder

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""

BASELINES: Mapping[str, tuple[str, str]] = {
    "cnn": ("logmel", "cnn"),
    "dense": ("logmel-stats", "d128"),
}
"""Networks that are trained from scratch: extractor, which learned nothing, and head."""


@dataclass(frozen=True)
class Request:
    """What to compare on which data. What is None is as the protocol has it.

    known: the published data set that `data` is. baselines: of `BASELINES`; None for all where
    torch is installed. hop: in seconds. audio: the page holds what was labelled wrongly.
    """

    data: Path
    extractors: tuple[str, ...]
    heads: tuple[str, ...] | None = None
    fusions: tuple[FusionName, ...] | None = None
    train_fractions: tuple[float, ...] | None = None
    known: KnownSet | None = None
    protocol: str = "folds"
    repeats: int | None = None
    baselines: tuple[str, ...] | None = None
    hop: float | None = None
    audio: bool = True


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


@dataclass(frozen=True)
class _Plan:
    """A request with all that was left open decided."""

    protocol: Protocol
    grid: tuple[Configuration, ...]
    baselines: tuple[Configuration, ...]
    extractors: Mapping[str, Extractor]
    fractions: tuple[float, ...]
    repeats: int
    hop: float | None
    notes: tuple[str, ...] = field(default=())

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return tuple(dict.fromkeys((*self.grid, *self.baselines)))


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
    plan = _plan(request)
    output = output.absolute()
    _check_output(request.data, output)
    dataset = splits.in_order(load_dataset(request.data, request.known))
    digests = splits.digests_of(dataset)
    trials = _trials(plan, dataset, digests)  # what can't be split is said before hours of work
    files, skipped = _embedded(dataset, digests, plan, engine, progress)
    if skipped:
        dataset, digests, files = _usable(dataset, digests, files, skipped)
        trials = _trials(plan, dataset, digests)
    make_folder(output)
    with tempfile.TemporaryDirectory(dir=output, prefix=".windows-") as folder:
        windows = {
            id: join_files(
                [p for p in paths if p], plan.extractors[id].dimensions, Path(folder) / f"{k}.npy"
            )
            for k, (id, paths) in enumerate(files.items())
        }
        material = material_of(dataset, digests, plan.extractors, plan.hop, windows)
        tasks = [Task(c, trial) for c in plan.configurations for trial in trials[c.train_fraction]]
        outcomes = tuple(_outcomes(engine, material, plan, tasks, progress))
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
        baselines=plan.baselines,
        notes=plan.notes,
    )
    for name, write in (("results.json", results_json), ("report.md", markdown)):
        write_atomic(output / name, write(found_all).encode(), overwrite=True)
    write_atomic(output / "report.html", html(found_all, output).encode(), overwrite=True)
    return found_all


def _plan(request: Request) -> _Plan:
    if request.protocol not in PROTOCOLS:
        known = ", ".join(PROTOCOLS)
        raise EdgeAudioError(f"There is no protocol {request.protocol!r}; there are: {known}.")
    protocol = PROTOCOLS[request.protocol]
    heads = request.heads or protocol.heads
    for head in heads:
        check_head(head)
    fractions = request.train_fractions or protocol.fractions
    _check_fractions(fractions)
    repeats = request.repeats or protocol.repeats
    extractors = {e.id: e for e in map(get_extractor, request.extractors)}
    fusions = request.fusions or protocol.fusions
    pairs = [(e, h) for e, h in product(extractors, heads) if goes_with(h, e)]
    for head in heads:
        if head not in {h for _, h in pairs}:
            check_head(head, next(iter(extractors)))
    grid = tuple(
        Configuration(e, h, fusion, fraction)
        for (e, h), fusion, fraction in product(pairs, fusions, fractions)
    )
    names, notes = _baselines(request.baselines)
    scratch = [BASELINES[name] for name in names]
    extractors |= {e: get_extractor(e) for e, _ in scratch if e not in extractors}
    baselines = tuple(
        Configuration(e, h, "late", fraction) for (e, h), fraction in product(scratch, fractions)
    )
    hop = protocol.hop if request.hop is None else request.hop
    return _Plan(protocol, grid, baselines, extractors, fractions, repeats, hop, notes)


def _baselines(asked: tuple[str, ...] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which to train from scratch, and what to say of those that can't be."""
    names = tuple(BASELINES) if asked is None else asked
    unknown = [name for name in names if name not in BASELINES]
    if unknown:
        known = ", ".join(BASELINES)
        raise EdgeAudioError(f"There is no baseline {unknown[0]!r}; there is: {known}.")
    try:
        for name in names:
            check_head(BASELINES[name][1])
    except MissingExtraError as error:
        if asked is not None:
            raise
        return (), (f"nothing was trained from scratch to compare with ({error})",)
    return names, ()


def _check_fractions(fractions: Sequence[float]) -> None:
    for fraction in fractions:
        if not 0 < fraction < 1:
            raise EdgeAudioError(
                f"A training share of {fraction:g} can't be used; give shares of all recordings "
                "between 0 and 1, as 0.8,0.1."
            )


def _check_output(data: Path, output: Path) -> None:
    """Raise EdgeAudioError for a report that would lie among the classes."""
    if data.is_dir() and output.is_relative_to(data.absolute()):
        raise EdgeAudioError(
            f"The report would lie in {output}, inside the data set; name a folder elsewhere."
        )


def _trials(
    plan: _Plan, dataset: Dataset, digests: Sequence[str]
) -> dict[float, tuple[splits.Trial, ...]]:
    """By share to train on. Raises DataError for what can't be split without a leak."""
    trials = {f: trials_of(plan.protocol, dataset, f, plan.repeats) for f in plan.fractions}
    for found in trials.values():
        splits.check_leaks(dataset, found, digests)
        splits.check_classes(dataset, found)
    return trials


def _embedded(
    dataset: Dataset, digests: Sequence[str], plan: _Plan, engine: Engine, progress: Progress
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


def _outcomes(
    engine: Engine, material: Material, plan: _Plan, tasks: Sequence[Task], progress: Progress
) -> Iterator[Outcome]:
    """In the order of the tasks; the long ones are begun first."""
    sizes = {id: e.dimensions for id, e in plan.extractors.items()}
    cost = [effort(task, sizes[task.configuration.extractor]) for task in tasks]
    order = sorted(range(len(tasks)), key=lambda k: -cost[k])
    found: dict[int, Outcome] = {}
    results = engine.run(TaskRunner, (material,), [tasks[k] for k in order])
    for k, outcome in zip(order, results, strict=True):
        found[k] = outcome
        progress("training and testing", len(found), len(tasks))
    yield from (found[k] for k in range(len(tasks)))
