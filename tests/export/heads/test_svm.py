from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.preprocessing import minmax_scale
from sklearn.svm import LinearSVC

from edgeaudio.errors import EdgeAudioError
from edgeaudio.network import open_session
from edgeaudio_export.heads import svm
from edgeaudio_export.heads.svm import SvmHead
from tests.export.heads.clusters import clusters


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_graph_gives_the_estimators_likelihoods(classes: int) -> None:
    X, y = clusters(classes)
    head = SvmHead().fit(X, y)
    found = open_session(head.graph().SerializeToString()).run(None, {"embedding": X})[0]
    assert np.abs(found - head.predict_proba(X)).max() <= 1e-5
    assert np.allclose(found.sum(axis=1), 1, atol=1e-6)
    assert head.check_graph(X) <= 1e-5


@pytest.mark.parametrize("classes", [2, 4])
def test_it_is_the_papers_svm(classes: int) -> None:
    X, y = clusters(classes)
    scaled = minmax_scale(X.astype(np.float64))
    peer = LinearSVC(C=1, class_weight="balanced", dual=False).fit(scaled, y)
    head = SvmHead().fit(X, y)
    assert np.array_equal(head.predict(X), peer.predict(scaled))
    scores = peer.decision_function(scaled).reshape(len(X), -1)
    assert np.abs(head.decision_function(X)[:, -1] - scores[:, -1]).max() < 1e-3


def test_follows_the_estimator_rules() -> None:
    head = SvmHead(C=0.5)
    assert head.get_params() == {"C": 0.5, "max_iter": 10_000}
    assert clone(head).C == 0.5
    X, y = clusters(3)
    assert head.fit(X, y) is head
    before = head.coef_.copy()
    head.predict(X)
    assert np.array_equal(head.coef_, before)
    assert head.score(X, y) > 0.95
    with pytest.raises(ValueError, match="features"):
        head.predict(X[:, :5])


def test_same_data_same_head() -> None:
    X, y = clusters(4)
    assert np.array_equal(SvmHead().fit(X, y).coef_, SvmHead().fit(X, y).coef_)


def test_stable_with_one_clip_a_class() -> None:
    X, y = clusters(3, each=1)
    likelihoods = SvmHead().fit(X, y).predict_proba(X)
    assert np.isfinite(likelihoods).all()
    assert (likelihoods.argmax(axis=1) == [0, 1, 2]).all()
    assert likelihoods.max() < 0.99, "one example is no ground for certainty"


def test_a_dimension_that_hardly_moved_does_not_take_over() -> None:
    X, y = clusters(3)
    X[:, 4] = 1e-4 * np.random.default_rng(5).standard_normal(len(X))
    head = SvmHead().fit(X, y)
    assert head.scale_[4] <= 100 * np.median(head.scale_) * 1.001
    moved = X.copy()
    moved[:, 4] += 1e-3
    assert np.abs(head.predict_proba(moved) - head.predict_proba(X)).max() < 0.02


def test_constant_data_does_not_divide_by_zero() -> None:
    head = SvmHead().fit(np.ones((6, 3)), ["a", "b"] * 3)
    assert np.isfinite(head.predict_proba(np.ones((1, 3)))).all()


def test_a_wrong_conversion_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = clusters(3)
    head = SvmHead().fit(X, y)
    real = svm._skl2onnx_scores
    monkeypatch.setattr(svm, "_skl2onnx_scores", lambda h, e: real(h, e) + np.array([0, 0, 0.01]))
    with pytest.raises(
        EdgeAudioError, match="The graph of the head svm and what it was made of differ by 0.00"
    ):
        head.check_graph(X)
