"""One task: a head trained on some recordings, and what it says of others."""

from __future__ import annotations

import hashlib
import json
import resource
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from edgeaudio import codec
from edgeaudio.audio.resample import resampler_name
from edgeaudio.decide.fusion import pool
from edgeaudio.errors import OutputError
from edgeaudio.files import write_atomic
from edgeaudio.types import F32, FusionName
from edgeaudio_export.datasets.recordings import Dataset
from edgeaudio_export.embed import spec_of
from edgeaudio_export.engines import Engine
from edgeaudio_export.evaluate import splits
from edgeaudio_export.evaluate.splits import Trial
from edgeaudio_export.evaluate.windows import Progress, Windows
from edgeaudio_export.extractors import Extractor
from edgeaudio_export.heads.kinds import new_head
from edgeaudio_export.home import cache
from edgeaudio_export.versions import versions
from edgeaudio_export.weights.store import make_folder


@dataclass(frozen=True)
class Configuration:
    """What is compared. train_fraction: share of ALL recordings that training uses."""

    extractor: str
    head: str
    fusion: FusionName
    train_fraction: float

    @property
    def name(self) -> str:
        """For a table; the share as it was asked for."""
        share = f"train fraction {self.train_fraction:g}"
        return f"{self.extractor} + {self.head}, {self.fusion}, {share}"


@dataclass(frozen=True)
class Task:
    """A trial of a configuration; its indices are those of the recordings."""

    configuration: Configuration
    trial: Trial


@dataclass(frozen=True)
class Answer:
    """What was said of one recording. likelihoods: in the order of the labels, sum 1."""

    recording: int
    label: str
    likelihoods: tuple[float, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of a task. draw, seed: see `Trial`. train: so many recordings.

    seconds: training and testing, on one core. memory: the most that was resident then, in MB.
    """

    configuration: Configuration
    fold: str
    draw: int
    seed: int
    train: int
    answers: tuple[Answer, ...]
    seconds: float
    memory: float


@dataclass(frozen=True)
class Material:
    """What tasks are made of: by recording its label and group, and by extractor its embeddings.

    classes: all labels, sorted. identity: by extractor, a digest of everything that shapes an
    outcome and is not in the task.
    """

    windows: Mapping[str, Windows]
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    identity: Mapping[str, str]


class TaskRunner:
    """Does tasks; what comes of one is kept, under EDGEAUDIO_HOME."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._opened: dict[str, tuple[F32, ...]] = {}

    def __call__(self, task: Task) -> Outcome:
        """Do it, and keep what came of it."""
        with threadpool_limits(1):  # processes share the processor; and sums keep their order
            outcome = self._run(task)
        path = _kept(self._material, task)
        with suppress(OSError, OutputError):  # not kept where nothing can be
            make_folder(path.parent)
            write_atomic(path, codec.dumps(outcome).encode(), overwrite=True)
        return outcome

    def _run(self, task: Task) -> Outcome:
        begin = time.perf_counter()
        _forget_peak()
        configuration, trial = task.configuration, task.trial
        rows = self._rows(configuration.extractor)
        fusion, classes = configuration.fusion, self._material.classes
        X, y, groups = self._examples(rows, trial.train, fusion)
        head = new_head(configuration.head, trial.seed).fit(X, y, groups)
        columns = [classes.index(str(label)) for label in head.classes_]
        answers = []
        for i in trial.test:
            likelihoods = np.zeros(len(classes))
            likelihoods[columns] = head.predict_proba(_inputs(rows[i], fusion)).sum(axis=0)
            likelihoods /= likelihoods.sum()
            label = classes[int(np.argmax(likelihoods))]
            answers.append(Answer(i, label, tuple(np.round(likelihoods, 6).tolist())))
        return Outcome(
            configuration,
            trial.fold,
            trial.draw,
            trial.seed,
            len(trial.train),
            tuple(answers),
            seconds=round(time.perf_counter() - begin, 3),
            memory=round(_peak(), 1),
        )

    def _rows(self, extractor: str) -> tuple[F32, ...]:
        if extractor not in self._opened:
            self._opened[extractor] = self._material.windows[extractor].open()
        return self._opened[extractor]

    def _examples(
        self, rows: tuple[F32, ...], chosen: Sequence[int], fusion: FusionName
    ) -> tuple[F32, NDArray[np.str_], NDArray[np.str_]]:
        inputs = [_inputs(rows[i], fusion) for i in chosen]
        counts = [len(x) for x in inputs]
        labels, groups = (
            np.repeat([names[i] for i in chosen], counts)
            for names in (self._material.labels, self._material.groups)
        )
        return np.concatenate(inputs), labels, groups


def material_of(
    dataset: Dataset,
    digests: Sequence[str],
    extractors: Mapping[str, Extractor],
    hop: float | None,
) -> Material:
    """For the tasks of a data set, still without its embeddings.

    digests: of the recordings. hop: in seconds, None for each extractor's own.
    """
    labels = tuple(r.label for r in dataset.recordings)
    # By number: what a group is called, or where a file lies, changes nothing.
    names = splits.group_names(dataset.recordings)
    numbers = {name: str(k) for k, name in enumerate(dict.fromkeys(names))}
    groups = tuple(numbers[name] for name in names)
    made_by = (resampler_name(), versions("scikit-learn", "torch"), _code())
    identity = {}
    for id, extractor in extractors.items():
        parts = (extractor.digest, spec_of(extractor, hop).hop, labels, groups, digests, made_by)
        identity[id] = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return Material({}, labels, groups, dataset.labels, identity)


def outcomes_of(
    tasks: Sequence[Task],
    material: Material,
    join: Callable[[str, Path], Windows],
    engine: Engine,
    progress: Progress,
) -> tuple[Outcome, ...]:
    """What comes of tasks, in their order; what is kept of them is not done again.

    join: puts the embeddings by an extractor, by its id, into a file for the tasks that are left.
    """
    found = {k: kept_outcome(material, task) for k, task in enumerate(tasks)}
    left = sorted((k for k in found if not found[k]), key=lambda k: -_effort(tasks[k]))
    done = len(tasks) - len(left)
    progress(done, len(tasks))
    if left:
        make_folder(cache("tasks"))
        with tempfile.TemporaryDirectory(dir=cache("tasks")) as folder:
            names = dict.fromkeys(tasks[k].configuration.extractor for k in left)
            paths = {id: Path(folder) / f"{number}.npy" for number, id in enumerate(names)}
            ready = replace(material, windows={id: join(id, p) for id, p in paths.items()})
            results = engine.run(TaskRunner, (ready,), [tasks[k] for k in left])
            for k, outcome in zip(left, results, strict=True):
                found[k] = outcome
                done += 1
                progress(done, len(tasks))
    return tuple(outcome for outcome in found.values() if outcome)


def _effort(task: Task) -> float:
    """About how long it takes, in no unit: long ones are begun first."""
    weight = {"cnn": 10, "d512": 8, "mlp": 8, "d128": 3}.get(task.configuration.head, 1)
    windows = 10 if task.configuration.fusion == "late" else 1
    return float(weight * windows * len(task.trial.train))


def _code() -> str:
    """A digest of the code that trains and fuses: another version of it trains anew."""
    digest = hashlib.sha256()
    rooms = (*files("edgeaudio_export.heads").iterdir(), *files("edgeaudio.decide").iterdir())
    for source in sorted((*rooms, files(__package__) / "tasks.py"), key=lambda path: path.name):
        if source.name.endswith(".py"):
            digest.update(source.read_bytes())
    return digest.hexdigest()


def kept_outcome(material: Material, task: Task) -> Outcome | None:
    """What came of a task before, if it was done."""
    try:
        return codec.loads(Outcome, _kept(material, task).read_text(), "a finished task")
    except (OSError, ValueError):  # not done yet, or half of a crash
        return None


def _kept(material: Material, task: Task) -> Path:
    parts = [material.identity[task.configuration.extractor], codec.dumps(task)]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return cache("outcomes", key[:2], f"{key}.json")


def _inputs(rows: F32, fusion: FusionName) -> F32:
    """What the head sees of a recording: each window, or all of them pooled, [n, D]."""
    return rows if fusion == "late" else pool(fusion, rows)[None]


def _forget_peak() -> None:
    """Linux: the most that this process has had resident counts from here."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    """The most that this process has had resident, in MB."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
