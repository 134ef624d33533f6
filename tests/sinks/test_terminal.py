from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from edgeaudio.sinks.terminal import LiveView
from edgeaudio.types import INVALID, Decision, Event, Quality

LABELS = ("good", "[bold]heavy_load")
LIKELIHOODS = ((LABELS[0], 0.25), (LABELS[1], 0.75))


def picture(width: int, *decisions: Decision, dbfs: float | None = None) -> str:
    """What the view shows after `decisions`."""
    console = Console(file=io.StringIO(), width=width)
    view = LiveView(console, "listening to usb, 48000 Hz", LABELS, horizon=9, rate=16_000)
    if dbfs is not None:
        view.level(dbfs)
    for decision in decisions:
        view.decision(Event(datetime.now(UTC), decision))
    view.close()
    with console.capture() as capture:
        console.print(view.render())
    return capture.get()


def test_bars_are_as_long_as_their_numbers() -> None:
    text = picture(100, Decision(0, 80_000, LABELS[1], LIKELIHOODS, 9, Quality()), dbfs=-20.0)
    level, good, heavy = text.splitlines()[1:4]
    assert (level.count("█"), good.count("█"), heavy.count("█")) == (30, 10, 30)
    assert level.endswith("-20 dBFS")
    assert heavy.split()[0] == "[bold]heavy_load", "a label is text, never markup"
    assert "(9 windows, 0.0 to 5.0 s)" in text


def test_before_the_first_decision() -> None:
    text = picture(100)
    assert "window 0 of 9 of the first horizon" in text
    assert "█" not in text


def test_invalid_says_why() -> None:
    text = picture(100, Decision(0, 8_000, INVALID, (), 0, Quality(False, ("gap",))))
    assert "INVALID: gap  (0.0 to 0.5 s)" in text


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_keeps_labels_and_numbers(width: int) -> None:
    text = picture(width, Decision(0, 80_000, LABELS[1], LIKELIHOODS, 9, Quality()))
    for label, value in LIKELIHOODS:
        (line,) = (x for x in text.splitlines() if x.split()[0] == label and "·" in x)
        assert line.endswith(f"{value:.2f}")
    assert max(map(len, text.splitlines())) <= width


def test_the_meter_falls_slowly() -> None:
    console = Console(file=io.StringIO(), width=100)
    view = LiveView(console, "", LABELS, 9, 16_000)
    view.level(-10.0)
    view.level(-120.0)
    with console.capture() as capture:
        console.print(view.render())
    view.close()
    assert "-24 dBFS" in capture.get()
