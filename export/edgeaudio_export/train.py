"""Labelled recordings to a head file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from edgeaudio.contract import HeadInfo, Training
from edgeaudio.decide.fusion import pool
from edgeaudio.errors import EdgeAudioError
from edgeaudio.types import F32, FusionName
from edgeaudio_export.datasets.recordings import Dataset, dataset_digest
from edgeaudio_export.embed import Embedded, Progress, embed_dataset
from edgeaudio_export.extractors import Extractor
from edgeaudio_export.heads.base import Head
from edgeaudio_export.heads.dense import D128Head, D512Head, MlpHead
from edgeaudio_export.heads.file import HeadFile
from edgeaudio_export.heads.knn import KnnHead
from edgeaudio_export.heads.svm import SvmHead
from edgeaudio_export.versions import versions

HEADS: dict[str, type[Head]] = {
    head.kind: head for head in (SvmHead, D128Head, D512Head, MlpHead, KnnHead)
}


@dataclass(frozen=True, slots=True)
class Trained:
    """A head, and the data set as it was really used."""

    head: HeadFile
    dataset: Dataset


def train_head(
    dataset: Dataset,
    extractor: Extractor,
    kind: str,
    fusion: FusionName,
    *,
    hop: float | None = None,
    progress: Progress = lambda done, total: None,
) -> Trained:
    """Fit a head on all recordings (on the rows whose split is `train`, where splits are given).

    With late fusion each window is an example, with early fusion each recording, pooled.
    hop: seconds between windows, half a window if None.
    Raises EdgeAudioError for an unknown head, DataError if a class has no usable recording.
    """
    check_head(kind)
    embedded = embed_dataset(dataset.training(), extractor, hop, progress)
    return fit_head(embedded, extractor, kind, fusion)


def check_head(kind: str) -> None:
    """Raise EdgeAudioError, listing what there is, unless there is such a head.

    Raises MissingExtraError without what it needs.
    """
    if kind not in HEADS:
        raise EdgeAudioError(f"There is no head {kind!r}; there are: {', '.join(HEADS)}.")
    HEADS[kind].ready()


def fit_head(embedded: Embedded, extractor: Extractor, kind: str, fusion: FusionName) -> Trained:
    """The second half of `train_head`: a head on embeddings of `extractor`."""
    X, y = examples(embedded, fusion)
    head = HEADS[kind]().fit(X, y)
    head.check_graph(X[:: max(1, len(X) // 256)])
    info = HeadInfo(
        kind=head.kind,
        normaliser=head.normaliser,
        labels=tuple(map(str, head.classes_)),
        fusion=fusion,
        extractor_id=extractor.id,
        extractor_digest=extractor.digest,
        training=_summary(embedded),
    )
    return Trained(HeadFile(info, head.graph()), embedded.dataset)


def examples(embedded: Embedded, fusion: FusionName) -> tuple[F32, NDArray[np.str_]]:
    """What a head is fitted on: embeddings [N, D] and their N labels."""
    labels = [r.label for r in embedded.dataset.recordings]
    if fusion == "late":
        counts = [len(e) for e in embedded.embeddings]
        return np.concatenate(embedded.embeddings), np.repeat(labels, counts)
    return np.stack([pool(fusion, e) for e in embedded.embeddings]), np.array(labels)


def _summary(embedded: Embedded) -> Training:
    dataset = embedded.dataset
    windows = dict.fromkeys(dataset.labels, 0)
    for recording, embeddings in zip(dataset.recordings, embedded.embeddings, strict=True):
        windows[recording.label] += len(embeddings)
    return Training(
        dataset_digest=dataset_digest(dataset.recordings),
        recordings=dataset.counts,
        windows=windows,
        skipped=len(dataset.skipped),
        date=datetime.now(UTC).date().isoformat(),
        versions=versions("scikit-learn", "soxr", "soundfile"),
    )
