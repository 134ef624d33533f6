"""Heads that were made elsewhere, brought over as numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import LinearSVC

from edgeaudio.contract import HeadInfo, check_labels
from edgeaudio.errors import EdgeAudioError
from edgeaudio.types import F32, FusionName
from edgeaudio_export.extractors import get_extractor
from edgeaudio_export.heads.file import HeadFile, write_head
from edgeaudio_export.heads.svm import SvmHead, one_against_rest


def save_sklearn(
    estimator: Any,
    *,
    extractor: str,
    fusion: FusionName,
    path: str | Path,
    overwrite: bool = False,
) -> None:
    """Write a fitted scikit-learn head as a head file.

    estimator: a `LinearSVC`, or a pipeline of `MinMaxScaler` and `LinearSVC`, fitted on
    embeddings of `extractor`. Load it yourself, where you trust the file that it comes from.
    Raises EdgeAudioError for another kind of estimator or another number of features.
    """
    head = _svm_head(estimator)
    found = get_extractor(extractor)
    if head.coef_.shape[1] != found.dimensions:
        raise EdgeAudioError(
            f"This head takes {head.coef_.shape[1]} features, {extractor} gives {found.dimensions}."
        )
    labels = tuple(str(label) for label in head.classes_)
    try:
        check_labels(labels)
    except ValueError as error:
        raise EdgeAudioError(f"The head's labels can't be used: {error}.") from None
    head.check_graph(_probe(head))
    info = HeadInfo(head.kind, head.normaliser, labels, fusion, extractor, found.digest)
    write_head(HeadFile(info, head.graph()), Path(path), overwrite=overwrite)


def _svm_head(estimator: Any) -> SvmHead:
    steps = [s for _, s in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    kinds = [type(step) for step in steps]
    if kinds not in ([LinearSVC], [MinMaxScaler, LinearSVC]):
        names = " + ".join(kind.__name__ for kind in kinds)
        raise EdgeAudioError(
            f"A head of {names} can't be brought over; expected LinearSVC or MinMaxScaler + "
            "LinearSVC. Train it anew with `edgeaudio train`."
        )
    if len(steps) == 2 and steps[0].clip:
        raise EdgeAudioError(
            "A MinMaxScaler that clips can't be brought over: a head does not clip. "
            "Train it anew with `edgeaudio train`."
        )
    svm, head = steps[-1], SvmHead()
    head.classes_ = svm.classes_
    head.coef_, head.intercept_ = one_against_rest(svm.coef_, svm.intercept_)
    dimensions = head.coef_.shape[1]
    head.n_features_in_ = dimensions
    head.offset_, head.scale_ = np.zeros(dimensions), np.ones(dimensions)
    if len(steps) == 2:
        head.scale_ = steps[0].scale_
        head.offset_ = -steps[0].min_ / steps[0].scale_
    return head


def _probe(head: SvmHead) -> F32:
    """Embeddings spread over the range that the head was trained on, [64, D]."""
    spread = np.random.default_rng(0).random((64, head.coef_.shape[1]))
    return np.asarray(spread / head.scale_ + head.offset_, np.float32)
