"""Many windows to one set of likelihoods.

late: sum of the windows' likelihoods. early: element-wise maximum of their embeddings, then
the head (Grollmisch et al. 2020, experiment 2). early-mean: mean of the embeddings, then the
head (Kumar et al. 2018). Sums run in float64 and in the order of time, so that a horizon and
a file over the same windows give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeaudio.types import F32, F64, Decision, FusionName, Prediction, Quality

Classify = Callable[[F32], F32]
"""The head: embeddings float32 [N, D] -> likelihoods float32 [N, C]."""


def pool(kind: FusionName, embeddings: F32) -> F32:
    """Early fusion of embeddings float32 [N, D] to [D], N at least 1."""
    pooled = embeddings[0].astype(np.float64)
    for embedding in embeddings[1:]:
        pooled = _join(kind, pooled, embedding)
    return _vector(kind, pooled, len(embeddings))


def _join(kind: FusionName, so_far: F64, value: F64 | F32) -> F64:
    return np.maximum(so_far, value) if kind == "early" else so_far + value


def _vector(kind: FusionName, pooled: F64, windows: int) -> F32:
    """What the head gets, early fusion."""
    return (pooled / windows if kind == "early-mean" else pooled).astype(np.float32)


class Fusion:
    """Predictions in, one decision out; memory does not grow with their number."""

    def __init__(self, kind: FusionName, labels: tuple[str, ...], classify: Classify) -> None:
        self._kind = kind
        self._labels = labels
        self._classify = classify
        self._pooled: F64 | None = None
        self._windows = 0
        self._bounds = (0, 0)
        self._measurable = False
        self._reasons: set[str] = set()

    def add(self, prediction: Prediction) -> None:
        """Take the next window."""
        start = self._bounds[0] if self._windows else prediction.start
        self._bounds = (start, prediction.end)
        self._windows += 1
        self._measurable = self._measurable or prediction.quality.valid
        self._reasons.update(prediction.quality.reasons)
        late = self._kind == "late"
        value = (prediction.likelihood if late else prediction.embedding).astype(np.float64)
        if self._pooled is not None:
            value = _join(self._kind, self._pooled, value)
        self._pooled = value

    def decision(self) -> Decision:
        """The class with the largest fused likelihood; of equals, the first.

        The quality is invalid when not one of the windows could be measured; the label
        is given all the same. Raises ValueError if there was no window.
        """
        if self._pooled is None:
            raise ValueError("nothing to decide: no window was added")
        fused = self._fused(self._pooled)
        return Decision(
            start=self._bounds[0],
            end=self._bounds[1],
            label=self._labels[int(np.argmax(fused))],
            likelihoods=tuple(zip(self._labels, fused.tolist(), strict=True)),
            windows=self._windows,
            quality=self._quality(),
        )

    def _fused(self, pooled: F64) -> F64:
        if self._kind != "late":
            vector = _vector(self._kind, pooled, self._windows)
            pooled = self._classify(vector[None])[0].astype(np.float64)
        return np.asarray(pooled / pooled.sum())

    def _quality(self) -> Quality:
        return Quality() if self._measurable else Quality(False, tuple(sorted(self._reasons)))
