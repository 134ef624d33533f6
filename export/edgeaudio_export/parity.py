"""A network in int8 beside the one in float32: what it loses, on recordings, and what it gains."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeaudio.bench.machine import machine_name
from edgeaudio.bench.sound import machine_sound
from edgeaudio.bench.system import resident
from edgeaudio.decide.fusion import pool
from edgeaudio.errors import AudioFileError, DataError, MissingExtraError
from edgeaudio.network import Network, open_network, open_session
from edgeaudio.quantisation import Accuracy, Cost, Parity
from edgeaudio.types import F32, FusionName
from edgeaudio_export.datasets.recordings import Dataset
from edgeaudio_export.embed import Embedded, Progress, WindowEmbedder, spec_of
from edgeaudio_export.engines import Engine, get_engine
from edgeaudio_export.evaluate.cross_validate import held_out
from edgeaudio_export.evaluate.windows import embedded
from edgeaudio_export.extractors import Extractor
from edgeaudio_export.heads.file import HeadFile
from edgeaudio_export.heads.kinds import HEADS, new_head
from edgeaudio_export.quantise.survey import centred_cosine
from edgeaudio_export.train import examples

DEFAULT_HEAD = "svm"
_TURNS = 15  # windows of each network that are timed, in alternation
_AT_WORK = 4  # windows, until memory is taken


@dataclass(frozen=True)
class Sides:
    """A data set's embeddings by both networks: one float32 [windows, D] a recording each."""

    embedded: Embedded
    after: tuple[F32, ...]

    @property
    def pairs(self) -> list[tuple[F32, F32]]:
        """Before and after, by recording."""
        return list(zip(self.embedded.embeddings, self.after, strict=True))


def measure_parity(
    dataset: Dataset,
    before: Extractor,
    after: Extractor,
    head: HeadFile | None,
    *,
    jobs: int = 0,
    progress: Progress = lambda done, total: None,
) -> Parity:
    """On all recordings of `dataset`. jobs: processes, 0 for one a core.

    Raises DataError if there is no usable recording.
    """
    engine = get_engine("local", jobs)
    sides = _embed(dataset, before, after, engine, progress)
    costs = _costs(before, after)
    accuracy, reason = _accuracy(sides, head)
    windows, recordings, change = _agreement(sides, head) if head else (None, None, None)
    return Parity(
        recordings=len(sides.after),
        windows=sum(map(len, sides.after)),
        centred_cosine=float(centred_cosine(*map(np.concatenate, zip(*sides.pairs, strict=True)))),
        windows_agree=windows,
        recordings_agree=recordings,
        likelihood_change=change,
        accuracy=accuracy,
        no_accuracy=reason,
        before=costs[0],
        after=costs[1],
        machine=machine_name(),
    )


def _embed(
    dataset: Dataset, before: Extractor, after: Extractor, engine: Engine, progress: Progress
) -> Sides:
    total = 2 * len(dataset.recordings)
    found = embedded(dataset, before, None, engine, lambda done, _: progress(done, total))
    recordings = found.dataset.recordings
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "after.onnx"
        graph.write_bytes(after.graph().SerializeToString())
        light = replace(after, build=None, columns=None)  # type: ignore[arg-type]
        rows = []
        for row in engine.run(_Embedder, (graph, light), [r.path for r in recordings]):
            rows.append(row)
            progress(len(recordings) + len(rows), total)
    if any(row is None for row in rows):
        raise DataError("A recording changed while it was read; try again.")
    return Sides(found, tuple(row for row in rows if row is not None))


class _Embedder:
    """Embeds recordings with a graph in a file; None for one that can't be read."""

    def __init__(self, graph: Path, extractor: Extractor) -> None:
        spec = spec_of(extractor, None)
        self._embedder = WindowEmbedder(extractor, spec, graph.read_bytes())

    def __call__(self, path: Path) -> F32 | None:
        try:
            return self._embedder.embed(path)
        except AudioFileError:
            return None


def _open(graph: Path, extractor: Extractor) -> Network:
    sizes = (extractor.window, extractor.dimensions)
    return open_network(graph.read_bytes(), extractor.front_end, *sizes)


def _agreement(sides: Sides, head: HeadFile) -> tuple[float, float, float]:
    """Percent of windows and of recordings with one label, and the largest change."""
    session = open_session(head.graph.SerializeToString())

    def classify(embeddings: F32) -> F32:
        found: F32 = session.run(["likelihood"], {"embedding": embeddings})[0]
        return found

    same, count, same_recordings, change = 0, 0, 0, 0.0
    for before, after in sides.pairs:
        likelihoods = classify(before), classify(after)
        same += int((likelihoods[0].argmax(axis=1) == likelihoods[1].argmax(axis=1)).sum())
        count += len(before)
        # Python's max might drop NaN; numpy's keeps it.
        change = float(np.maximum(change, np.abs(likelihoods[0] - likelihoods[1]).max()))
        fused = [_fused(rows, head.info.fusion, classify) for rows in (before, after)]
        same_recordings += int(fused[0].argmax() == fused[1].argmax())
    return 100 * same / count, 100 * same_recordings / len(sides.after), change


def _fused(rows: F32, fusion: FusionName, classify: Callable[[F32], Any]) -> F32:
    inputs = rows if fusion == "late" else pool(fusion, rows)[None]
    return np.asarray(classify(inputs).sum(axis=0))


def _accuracy(sides: Sides, head: HeadFile | None) -> tuple[Accuracy | None, str]:
    """Of heads trained before, on recordings that they have not seen, before and after.

    None, and why, where none can be held out.
    """
    try:
        dataset, _, trials = held_out(sides.embedded.dataset)
    except DataError as error:
        return None, str(error)
    kind = _kind(head)
    fusion: FusionName = head.info.fusion if head else "late"
    of = {
        r.path: pair for r, pair in zip(sides.embedded.dataset.recordings, sides.pairs, strict=True)
    }
    right: list[tuple[float, float]] = []
    hits: dict[str, list[tuple[bool, bool]]] = {label: [] for label in dataset.labels}
    for trial in trials:
        chosen = tuple(dataset.recordings[i] for i in trial.train)
        rows = tuple(of[r.path][0] for r in chosen)
        fitted = new_head(kind, trial.seed).fit(
            *examples(Embedded(replace(dataset, recordings=chosen), rows), fusion)
        )
        found = []
        for i in trial.test:
            recording = dataset.recordings[i]
            labels = [
                fitted.classes_[_fused(rows, fusion, fitted.predict_proba).argmax()]
                for rows in of[recording.path]
            ]
            found.append((labels[0] == recording.label, labels[1] == recording.label))
            hits[recording.label].append(found[-1])
        right.append(_percent(found))
    before, after = np.mean(right, axis=0)
    recall = {label: _percent(found) for label, found in hits.items() if found}
    found_accuracy = Accuracy(
        head=kind,
        folds=len(trials),
        before=float(before),
        after=float(after),
        recall_before={label: pair[0] for label, pair in recall.items()},
        recall_after={label: pair[1] for label, pair in recall.items()},
    )
    return found_accuracy, ""


def _kind(head: HeadFile | None) -> str:
    """Of the heads that are trained: the file's own, where that is one of ours."""
    if head is None or head.info.kind not in HEADS:
        return DEFAULT_HEAD
    try:
        HEADS[head.info.kind].ready()
    except MissingExtraError:
        return DEFAULT_HEAD
    return head.info.kind


def _percent(found: Sequence[tuple[bool, bool]]) -> tuple[float, float]:
    return tuple(float(v) for v in 100 * np.mean(found, axis=0))  # type: ignore[return-value]


def _costs(before: Extractor, after: Extractor) -> tuple[Cost, Cost]:
    """Of the networks, without the front-end: timed in alternation, on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        networks, memory, sizes = [], [], []
        for name, extractor in (("before", before), ("after", after)):
            path = Path(folder) / f"{name}.onnx"
            path.write_bytes(extractor.graph().SerializeToString())
            light = replace(extractor, build=None, columns=None)  # type: ignore[arg-type]
            # Two items make it a process of its own, whose memory is nobody else's.
            memory.append(next(get_engine("local", 2).run(_Footprint, (path, light), [0, 0])))
            sizes.append(path.stat().st_size)
            networks.append(_open(path, light))
    times = _times(networks, before)
    first, second = (
        Cost(size, max(0.001, round(1000 * t, 3)), mb)
        for size, t, mb in zip(sizes, times, memory, strict=True)
    )
    return first, second


def _times(networks: Sequence[Network], extractor: Extractor) -> list[float]:
    window = _test_window(extractor)
    values = [network.front_end(window).copy() for network in networks]
    times: list[list[float]] = [[] for _ in networks]
    for _ in range(_TURNS + 2):
        for network, value, found in zip(networks, values, times, strict=True):
            begin = time.perf_counter()
            network.infer(value)
            found.append(time.perf_counter() - begin)
    return [statistics.median(found[2:]) for found in times]


class _Footprint:
    """Megabytes that a network takes while it works; in a process of its own."""

    def __init__(self, graph: Path, extractor: Extractor) -> None:
        before = resident()
        network = _open(graph, extractor)
        window = _test_window(extractor)
        for _ in range(_AT_WORK):
            network.embed(window)
        after = resident()
        self._taken: float | None = None
        if before is not None and after is not None:
            self._taken = round(max(0.0, after - before), 1)

    def __call__(self, item: int) -> float | None:
        return self._taken


def _test_window(extractor: Extractor) -> F32:
    seconds = extractor.window / extractor.sample_rate
    return machine_sound(seconds, extractor.sample_rate)[: extractor.window][None]
