"""What all heads have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from edgeaudio.errors import EdgeAudioError
from edgeaudio.network import open_session
from edgeaudio.types import F32, F64

MAX_CONVERSION_ERROR = 1e-4
"""In a likelihood, between a graph and what it was made of."""


class Head(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator by scikit-learn's rules that becomes an ONNX graph.

    `fit` on embeddings [N, D] and N labels; then classes_ [C].
    """

    kind: str
    normaliser: str
    extractor: str | None = None  # the only one that it goes with
    classes_: NDArray[Any]

    @classmethod
    def ready(cls) -> None:
        """Raise MissingExtraError unless what it needs is installed."""

    def fit(self, X: Any, y: Any, groups: Any = None) -> Head:
        """Train on embeddings [N, D] and N labels.

        groups: N names of what belongs together, for heads that hold part of the data out.
        """
        raise NotImplementedError

    def predict_proba(self, X: Any) -> F64:
        """Likelihoods [N, C] of embeddings [N, D]; each row sums to 1."""
        raise NotImplementedError

    def graph(self) -> onnx.ModelProto:
        """ONNX: `embedding` float32 [N, D] -> `likelihood` float32 [N, C]."""
        raise NotImplementedError

    def reference(self, embeddings: F32) -> F64:
        """Likelihoods [N, C] by the code that the graph is held against."""
        return self.predict_proba(embeddings)

    def predict(self, X: Any) -> NDArray[Any]:
        """The most likely class of each row."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def check_graph(self, embeddings: F32) -> float:
        """Hold the graph against `reference` on embeddings [N, D]; the largest difference.

        Raises EdgeAudioError if a likelihood differs by more than `MAX_CONVERSION_ERROR`.
        """
        session = open_session(self.graph().SerializeToString())
        found = session.run(["likelihood"], {"embedding": embeddings})[0]
        error = float(np.abs(found - self.reference(embeddings)).max())
        if not error <= MAX_CONVERSION_ERROR:
            raise EdgeAudioError(
                f"The graph of the head {self.kind} and what it was made of differ by {error:.2g} "
                f"in a likelihood (allowed: {MAX_CONVERSION_ERROR:g}); nothing was written. "
                "Please report this with the versions of onnx, skl2onnx and onnxruntime."
            )
        return error


def softmax(scores: F64) -> F64:
    """Rows that sum to 1."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
