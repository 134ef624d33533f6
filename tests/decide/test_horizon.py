from __future__ import annotations

import pytest

from edgeaudio.decide.horizon import Horizon, windows_in
from edgeaudio.errors import EdgeAudioError
from edgeaudio.types import INVALID, Decision, Quality, WindowSpec
from tests.decide.test_fusion import LABELS, classify, prediction

SPEC = WindowSpec(16_000, 16_000, 8_000)


def run(horizon: Horizon, predictions: list) -> list[Decision]:
    found = [d for p in predictions for d in horizon.push(p)]
    return [*found, *horizon.flush()]


@pytest.mark.parametrize(("seconds", "windows"), [(1.0, 1), (1.49, 1), (1.5, 2), (5.0, 9)])
def test_windows_that_lie_inside(seconds: float, windows: int) -> None:
    assert windows_in(seconds, SPEC) == windows


def test_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(EdgeAudioError, match=r"0\.5 s is shorter than the model's window \(1\.0 s"):
        windows_in(0.5, SPEC)


def test_one_decision_a_hop_once_full() -> None:
    horizon = Horizon(3, "late", LABELS, classify)
    found = run(horizon, [prediction(i, [0, 1]) for i in range(5)])
    assert [(d.start, d.end, d.windows) for d in found] == [
        (0, 32_000, 3),
        (8_000, 40_000, 3),
        (16_000, 48_000, 3),
    ]


def test_a_short_source_gets_one_decision() -> None:
    found = run(Horizon(9, "late", LABELS, classify), [prediction(i, [0, 1]) for i in range(2)])
    assert [(d.start, d.end, d.windows) for d in found] == [(0, 24_000, 2)]


def test_old_windows_are_forgotten() -> None:
    horizon = Horizon(2, "late", LABELS, classify)
    vectors = [[9, 0], [9, 0], [0, 9], [0, 9]]
    found = run(horizon, [prediction(i, v) for i, v in enumerate(vectors)])
    assert [d.label for d in found] == ["a", "a", "b"]


def test_what_could_not_be_measured_gets_no_label() -> None:
    silent = Quality(False, ("silence",))
    horizon = Horizon(2, "late", LABELS, classify)
    found = run(horizon, [prediction(i, [0, 1], silent if i < 2 else None) for i in range(3)])
    assert [(d.label, d.quality.reasons) for d in found] == [(INVALID, ("silence",)), ("b", ())]


GAP = Quality(False, ("gap",))


def test_a_gap_is_declared_at_once_and_starts_afresh() -> None:
    horizon = Horizon(3, "late", LABELS, classify)
    found = run(horizon, [prediction(i, [0, 1]) for i in range(4)])[:2]
    found += horizon.gap(80_000)
    found += run(horizon, [prediction(i, [9, 0]) for i in range(10, 13)])
    assert [(d.start, d.end, d.label, d.windows) for d in found] == [
        (0, 32_000, "b", 3),
        (8_000, 40_000, "b", 3),
        (40_000, 80_000, INVALID, 0),
        (80_000, 112_000, "a", 3),
    ]
    assert found[2].quality == GAP


def test_what_lay_before_a_gap_is_not_judged_on_less_than_a_horizon() -> None:
    horizon = Horizon(3, "late", LABELS, classify)
    assert [d for i in range(2) for d in horizon.push(prediction(i, [0, 1]))] == []
    assert [(d.start, d.end, d.label) for d in horizon.gap(30_000)] == [(0, 30_000, INVALID)]
    assert list(horizon.flush()) == []


def test_gaps_that_keep_coming_are_all_declared() -> None:
    horizon = Horizon(3, "late", LABELS, classify)
    found = [d for end in (8_000, 16_000, 24_000) for d in horizon.gap(end)]
    assert [(d.start, d.end) for d in found] == [(0, 8_000), (8_000, 16_000), (16_000, 24_000)]
    assert {d.label for d in found} == {INVALID}


def test_a_gap_is_never_of_no_length() -> None:
    horizon = Horizon(1, "late", LABELS, classify)
    assert list(horizon.gap(0)) == [], "nothing has been heard yet"
    run(horizon, [prediction(0, [0, 1])])
    (uncounted,) = horizon.gap(16_000)
    assert (uncounted.start, uncounted.end) == (15_999, 16_000)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 90_000.0])
def test_no_such_horizon(seconds: float) -> None:
    with pytest.raises(EdgeAudioError, match="can't be used; a day is the longest"):
        windows_in(seconds, SPEC)


def test_too_many_windows() -> None:
    with pytest.raises(EdgeAudioError, match="holds 17199 windows, 10000 at most"):
        windows_in(8600, SPEC)
