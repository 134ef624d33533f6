"""One task: a head trained on some recordings, and what it says of others."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeaudio import codec
from edgeaudio.decide.fusion import pool
from edgeaudio.files import write_atomic
from edgeaudio.types import F32, FusionName
from edgeaudio_export.evaluate.windows import Windows
from edgeaudio_export.train import HEADS


@dataclass(frozen=True)
class Configuration:
    """What is compared. train_fraction: share of ALL recordings that training uses."""

    extractor: str
    head: str
    fusion: FusionName
    train_fraction: float

    @property
    def name(self) -> str:
        """For a table."""
        share = f"{100 * self.train_fraction:g} %"
        return f"{self.extractor} + {self.head}, {self.fusion}, {share}"


@dataclass(frozen=True)
class Task:
    """train, test: indices of recordings. draw: which drawing of a part of the training folds."""

    configuration: Configuration
    fold: str
    draw: int
    train: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    """What was said of one recording. likelihoods: in the order of the labels, sum 1."""

    recording: int
    label: str
    likelihoods: tuple[float, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of a task. seconds: training and testing, on one core."""

    configuration: Configuration
    fold: str
    draw: int
    answers: tuple[Answer, ...]
    seconds: float


class TaskRunner:
    """Does tasks, each once: what was done before is read from `folder`.

    windows: embeddings by extractor. labels: of each recording. classes: all labels, sorted.
    identity: of everything that shapes an outcome and is not in the task.
    """

    def __init__(
        self,
        windows: dict[str, Windows],
        labels: tuple[str, ...],
        classes: tuple[str, ...],
        folder: Path,
        identity: str,
    ) -> None:
        self._windows = windows
        self._labels = labels
        self._classes = classes
        self._folder = folder
        self._identity = identity
        self._opened: dict[str, tuple[F32, ...]] = {}

    def __call__(self, task: Task) -> Outcome:
        """Do it, or read what came of it before."""
        path = self._folder / f"{self._key(task)}.json"
        try:
            return codec.loads(Outcome, path.read_text(), "a finished task")
        except (OSError, ValueError):  # not done yet, or half of a crash
            outcome = self._run(task)
            write_atomic(path, codec.dumps(outcome).encode(), overwrite=True)
            return outcome

    def _key(self, task: Task) -> str:
        text = json.dumps([self._identity, codec.dumps(task)])
        return hashlib.sha256(text.encode()).hexdigest()

    def _run(self, task: Task) -> Outcome:
        begin = time.perf_counter()
        rows = self._rows(task.configuration.extractor)
        fusion = task.configuration.fusion
        X, y = self._examples(rows, task.train, fusion)
        head = HEADS[task.configuration.head]().fit(X, y)
        columns = [self._classes.index(str(label)) for label in head.classes_]
        answers = []
        for i in task.test:
            likelihoods = np.zeros(len(self._classes))
            likelihoods[columns] = head.predict_proba(_inputs(rows[i], fusion)).sum(axis=0)
            likelihoods /= likelihoods.sum()
            label = self._classes[int(np.argmax(likelihoods))]
            answers.append(Answer(i, label, tuple(np.round(likelihoods, 6).tolist())))
        seconds = time.perf_counter() - begin
        return Outcome(task.configuration, task.fold, task.draw, tuple(answers), round(seconds, 3))

    def _rows(self, extractor: str) -> tuple[F32, ...]:
        if extractor not in self._opened:
            self._opened[extractor] = self._windows[extractor].open()
        return self._opened[extractor]

    def _examples(
        self, rows: tuple[F32, ...], chosen: Sequence[int], fusion: FusionName
    ) -> tuple[F32, np.ndarray]:
        inputs = [_inputs(rows[i], fusion) for i in chosen]
        labels = [self._labels[i] for i in chosen]
        return np.concatenate(inputs), np.repeat(labels, [len(x) for x in inputs])


def _inputs(rows: F32, fusion: FusionName) -> F32:
    """What the head sees of a recording: each window, or all of them pooled, [n, D]."""
    return rows if fusion == "late" else pool(fusion, rows)[None]
