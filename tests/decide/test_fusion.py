from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio.decide.fusion import Fusion, pool
from edgeaudio.types import F32, FusionName, Prediction, Quality

LABELS = ("a", "b")


def classify(embeddings: F32) -> F32:
    """A head: the first value against the second."""
    powers = np.exp(embeddings[:, :2])
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def prediction(index: int, embedding: list[float], quality: Quality | None = None) -> Prediction:
    vector = np.array(embedding, np.float32)
    return Prediction(
        start=index * 8000,
        end=index * 8000 + 16_000,
        embedding=vector,
        likelihood=classify(vector[None])[0],
        quality=quality or Quality(),
    )


def fuse(kind: FusionName, vectors: list[list[float]]) -> dict[str, float]:
    fusion = Fusion(kind, LABELS, classify)
    for index, vector in enumerate(vectors):
        fusion.add(prediction(index, vector))
    return dict(fusion.decision().likelihoods)


def test_late_is_the_sum_of_likelihoods() -> None:
    assert fuse("late", [[0, 0], [50, 0]]) == pytest.approx({"a": 0.75, "b": 0.25})


def test_early_is_the_head_on_the_maximum() -> None:
    assert fuse("early", [[2, 0], [0, 2]]) == pytest.approx({"a": 0.5, "b": 0.5})
    assert fuse("early", [[2, 0], [1, 0]])["a"] == pytest.approx(np.e**2 / (1 + np.e**2))


def test_early_mean_is_the_head_on_the_mean() -> None:
    assert fuse("early-mean", [[2, 0], [0, 0]])["a"] == pytest.approx(np.e / (1 + np.e))


@given(
    st.lists(st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=2), min_size=1, max_size=20),
    st.sampled_from(["early", "early-mean"]),
)
def test_training_pools_as_the_device_does(vectors: list, kind: FusionName) -> None:
    pooled = pool(kind, np.array(vectors, np.float32))
    assert list(fuse(kind, vectors).values()) == pytest.approx(classify(pooled[None])[0].tolist())


def test_bounds_windows_and_label() -> None:
    fusion = Fusion("late", LABELS, classify)
    for index in range(3):
        fusion.add(prediction(index + 2, [0, 1]))
    decision = fusion.decision()
    assert (decision.start, decision.end, decision.windows) == (16_000, 48_000, 3)
    assert decision.label == "b"
    assert sum(dict(decision.likelihoods).values()) == pytest.approx(1, abs=1e-12)


def test_invalid_only_when_no_window_could_be_measured() -> None:
    silent, clipped = Quality(False, ("silence",)), Quality(False, ("clipping",))
    fusion = Fusion("late", LABELS, classify)
    fusion.add(prediction(0, [0, 1], silent))
    fusion.add(prediction(1, [0, 1], clipped))
    assert fusion.decision().quality == Quality(False, ("clipping", "silence"))
    assert fusion.decision().label == "b", "the label stays"
    fusion.add(prediction(2, [0, 1]))
    assert fusion.decision().quality == Quality()


def test_nothing_to_decide() -> None:
    with pytest.raises(ValueError, match="no window was added"):
        Fusion("late", LABELS, classify).decision()
