"""Labelled recordings to a head file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from edgeaudio.contract import CrossValidation, HeadInfo, Training
from edgeaudio.decide.fusion import pool
from edgeaudio.types import F32, FusionName
from edgeaudio_export.datasets.recordings import Dataset, dataset_digest
from edgeaudio_export.embed import Embedded, Progress, embed_dataset
from edgeaudio_export.extractors import Extractor
from edgeaudio_export.heads.file import HeadFile
from edgeaudio_export.heads.kinds import check_head, new_head
from edgeaudio_export.versions import versions


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
    check_head(kind, extractor.id)
    embedded = embed_dataset(dataset.training(), extractor, hop, progress)
    return fit_head(embedded, extractor, kind, fusion)


def fit_head(
    embedded: Embedded,
    extractor: Extractor,
    kind: str,
    fusion: FusionName,
    validated: CrossValidation | None = None,
) -> Trained:
    """The second half of `train_head`: a head on embeddings of `extractor`.

    validated: what cross-validation said of heads like it.
    """
    X, y, groups = examples(embedded, fusion)
    head = new_head(kind).fit(X, y, groups)
    head.check_graph(X[:: max(1, len(X) // 256)])
    info = HeadInfo(
        kind=head.kind,
        normaliser=head.normaliser,
        labels=tuple(map(str, head.classes_)),
        fusion=fusion,
        extractor_id=extractor.id,
        extractor_digest=extractor.digest,
        training=_summary(embedded, validated),
    )
    return Trained(HeadFile(info, head.graph()), embedded.dataset)


def examples(
    embedded: Embedded, fusion: FusionName
) -> tuple[F32, NDArray[np.str_], NDArray[np.str_]]:
    """What a head is fitted on: embeddings [N, D], their N labels, and what belongs together."""
    inputs = [e if fusion == "late" else pool(fusion, e)[None] for e in embedded.embeddings]
    counts = [len(x) for x in inputs]
    recordings = embedded.dataset.recordings
    labels = np.repeat([r.label for r in recordings], counts)
    groups = np.repeat([f"group {r.group}" if r.group else str(r.path) for r in recordings], counts)
    return np.concatenate(inputs), labels, groups


def _summary(embedded: Embedded, validated: CrossValidation | None) -> Training:
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
        versions=versions("scikit-learn", "soxr", "soundfile", "torch"),
        cross_validation=validated,
    )
