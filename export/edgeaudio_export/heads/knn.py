"""Head `knn`: the five nearest training windows, weighted by the inverse of their distance.

For judging features that were learned without labels. The training windows are in the graph, so
that its size grows with them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from sklearn.utils.validation import check_is_fitted, validate_data

from edgeaudio.types import F64
from edgeaudio_export.graphs import GraphBuilder
from edgeaudio_export.heads import normalisers
from edgeaudio_export.heads.base import Head

NEAREST = 1e-6
"""Distances count as at least this: of a window that was trained on, 1 / 0 would be infinite."""


class KnnHead(Head):
    """k nearest neighbours on standardised embeddings.

    Parameters: k. After `fit`: classes_ [C], offset_ and scale_ [D], windows_ float32 [N, D]
    (normalised), votes_ float32 [N, C] (one-hot).
    """

    kind = "knn"
    normaliser = "standard"

    def __init__(self, k: int = 5) -> None:
        self.k = k

    def fit(self, X: Any, y: Any, groups: Any = None) -> KnnHead:
        """Keep embeddings [N, D] and N labels."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        self.offset_, self.scale_ = normalisers.fit("standard", X)
        self.classes_, indices = np.unique(y, return_inverse=True)
        self.windows_ = ((X - self.offset_) * self.scale_).astype(np.float32)
        self.votes_ = np.eye(len(self.classes_), dtype=np.float32)[indices]
        return self

    def predict_proba(self, X: Any) -> F64:
        """Likelihoods [N, C]: the share of a class in the weights of the neighbours."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        windows = self.windows_.astype(np.float64)
        found = []
        for row in (X - self.offset_) * self.scale_:
            distance = np.linalg.norm(windows - row, axis=1)
            nearest = np.argsort(distance, kind="stable")[: self._neighbours()]
            weights = 1 / np.maximum(distance[nearest], NEAREST)
            found.append(weights @ self.votes_[nearest] / weights.sum())
        return np.array(found)

    def _neighbours(self) -> int:
        return min(self.k, len(self.windows_))

    def graph(self) -> onnx.ModelProto:
        """ONNX: `embedding` float32 [N, D] -> `likelihood` float32 [N, C]; float64 inside."""
        check_is_fitted(self)
        b = GraphBuilder()
        x = b.add("Cast", "embedding", to=onnx.TensorProto.DOUBLE)
        x = b.add("Sub", x, b.constant(self.offset_, "normaliser.offset"))
        x = b.add("Mul", x, b.constant(self.scale_, "normaliser.scale"))
        windows = b.add(
            "Cast", b.constant(self.windows_, "head.windows"), to=onnx.TensorProto.DOUBLE
        )
        # |x - w|^2 = |x|^2 + |w|^2 - 2 x w: in float64, the difference of large numbers is exact
        # enough.
        cross = b.add("MatMul", x, b.add("Transpose", windows, perm=[1, 0]))
        own = b.add("ReduceSumSquare", x, axes=[1], keepdims=1)
        theirs = b.add("ReduceSumSquare", windows, axes=[1], keepdims=0)
        twice = b.add("Mul", cross, b.constant(np.float64(2)))
        square = b.add("Sub", b.add("Add", own, theirs), twice)
        distance = b.add("Sqrt", b.add("Max", square, b.constant(np.float64(0))))
        count = b.constant([self._neighbours()])
        nearest, index = b.split("TopK", distance, count, names=(None, None), largest=0)
        floored = b.add("Max", nearest, b.constant(np.float64(NEAREST)))
        weight = b.add("Reciprocal", floored)
        votes = b.add("Gather", b.constant(self.votes_.astype(np.float64), "head.votes"), index)
        weighted = b.add("Mul", votes, b.add("Unsqueeze", weight, b.constant([2])))
        total = b.add("ReduceSum", weighted, b.constant([1]), keepdims=0)
        share = b.add("Div", total, b.add("ReduceSum", weight, b.constant([1]), keepdims=1))
        likelihood = b.add("Cast", share, to=onnx.TensorProto.FLOAT)
        b.rename_last(likelihood, "likelihood")
        dimensions, classes = self.windows_.shape[1], len(self.classes_)
        return b.model(self.kind, {"embedding": ["N", dimensions]}, {"likelihood": ["N", classes]})
