"""Head `svm`: min-max normaliser, linear SVM, softmax.

Grollmisch et al. 2020: embeddings scaled to 0..1 on the training set, linear SVM with C = 1.
One machine a class against the rest (liblinear, squared hinge loss, solved in the primal,
hence deterministic), class weights balanced.

Calibration: the likelihoods are the softmax of the one-against-rest scores, at temperature
1. The SVM's own margin of +-1 sets their scale, nothing is fitted, and so a few clips a class
suffice. They rank and fuse well; they are no frequencies of being right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted, validate_data

from edgeaudio.network import open_session
from edgeaudio.types import F32, F64
from edgeaudio_export.graphs import IR_VERSION, OPSET
from edgeaudio_export.heads import normalisers
from edgeaudio_export.heads.base import Head, softmax


class SvmHead(Head):
    """Linear SVM on min-max-normalised embeddings, by scikit-learn's rules.

    Parameters: C, the SVM's penalty. max_iter, of the solver.

    After `fit`: classes_ [C], offset_ and scale_ [D] (normalised = (x - offset_) * scale_),
    coef_ [C, D], intercept_ [C].
    """

    kind = "svm"
    normaliser = "min-max"

    def __init__(self, C: float = 1.0, max_iter: int = 10_000) -> None:
        self.C = C
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any, groups: Any = None) -> SvmHead:
        """Fit on embeddings [N, D] and N labels of at least two classes."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        self.offset_, self.scale_ = normalisers.fit("min-max", X)
        svm = LinearSVC(
            C=self.C, class_weight="balanced", dual=False, max_iter=self.max_iter, random_state=0
        )
        svm.fit(self._normalise(X), y)
        self.classes_ = svm.classes_
        self.coef_, self.intercept_ = one_against_rest(svm.coef_, svm.intercept_)
        return self

    def decision_function(self, X: Any) -> F64:
        """Scores [N, C], one against the rest, also for two classes."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        scores: F64 = self._normalise(X) @ self.coef_.T + self.intercept_
        return scores

    def predict_proba(self, X: Any) -> F64:
        """Likelihoods [N, C]; each row sums to 1."""
        return softmax(self.decision_function(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """The most likely class of each row."""
        return np.asarray(self.classes_[self.decision_function(X).argmax(axis=1)])

    def graph(self) -> onnx.ModelProto:
        """ONNX: `embedding` float32 [N, D] -> `likelihood` float32 [N, C], float32 throughout.

        Adaptation may swap the named tensors: `normaliser.offset` and `normaliser.scale` [D],
        `head.weight` [D, C], `head.bias` [C], `calibration.temperature` [1].
        """
        check_is_fitted(self)
        tensors = {
            "normaliser.offset": self.offset_,
            "normaliser.scale": self.scale_,
            "head.weight": self.coef_.T,
            "head.bias": self.intercept_,
            "calibration.temperature": np.ones(1),
        }
        node = helper.make_node
        nodes = [
            node("Sub", ["embedding", "normaliser.offset"], ["centred"]),
            node("Mul", ["centred", "normaliser.scale"], ["normalised"]),
            node("Gemm", ["normalised", "head.weight", "head.bias"], ["score"]),
            node("Div", ["score", "calibration.temperature"], ["calibrated"]),
            node("Softmax", ["calibrated"], ["likelihood"], axis=1),
        ]
        classes, dimensions = self.coef_.shape
        value = helper.make_tensor_value_info
        body = helper.make_graph(
            nodes,
            self.kind,
            [value("embedding", TensorProto.FLOAT, ["N", dimensions])],
            [value("likelihood", TensorProto.FLOAT, ["N", classes])],
            [numpy_helper.from_array(v.astype(np.float32), k) for k, v in tensors.items()],
        )
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(body, opset_imports=opset, ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model

    def reference(self, embeddings: F32) -> F64:
        """Likelihoods [N, C]: the softmax of the raw scores of skl2onnx's conversion."""
        return softmax(_skl2onnx_scores(self, embeddings))

    def _normalise(self, X: F64) -> F64:
        return np.asarray((X - self.offset_) * self.scale_)


def one_against_rest(coef: F64, intercept: F64) -> tuple[F64, F64]:
    """A row a class. liblinear gives one row for two classes, the score of the second."""
    if len(coef) == 1:
        return np.concatenate([-coef, coef]), np.concatenate([-intercept, intercept])
    return coef, intercept


def _skl2onnx_scores(head: SvmHead, embeddings: F32) -> F64:
    """Raw scores [N, C] of `head` rebuilt from stock scikit-learn parts and converted."""
    from skl2onnx import to_onnx
    from sklearn.pipeline import make_pipeline

    dimensions = head.coef_.shape[1]
    scaler = MinMaxScaler()
    scaler.scale_, scaler.min_ = head.scale_, -head.offset_ * head.scale_
    scaler.n_features_in_ = dimensions
    svm = LinearSVC()
    svm.classes_ = np.arange(len(head.classes_))
    svm.n_features_in_ = dimensions
    svm.coef_, svm.intercept_ = head.coef_, head.intercept_
    if len(head.classes_) == 2:
        svm.coef_, svm.intercept_ = head.coef_[1:], head.intercept_[1:]
    options = {LinearSVC: {"raw_scores": True}}
    model = to_onnx(make_pipeline(scaler, svm), embeddings[:1], options=options, target_opset=OPSET)
    converted = open_session(model.SerializeToString()).run(
        None, {model.graph.input[0].name: embeddings}
    )[1]
    scores = np.asarray(converted, np.float64).reshape(len(embeddings), -1)
    both = [-scores, scores] if scores.shape[1] == 1 else [scores]
    return np.concatenate(both, axis=1)
