from __future__ import annotations

import io
import json
from datetime import UTC, datetime

from edgeaudio.sinks.jsonlines import JsonLines
from edgeaudio.types import INVALID, Decision, Event, Quality

WHEN = datetime(2026, 1, 31, 12, 0, 0, 250_000, UTC)


def lines(*decisions: Decision) -> list[dict]:
    stream = io.StringIO()
    sink = JsonLines(stream)
    for decision in decisions:
        sink.decision(Event(WHEN, decision))
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_one_object_a_decision() -> None:
    likelihoods = (("läuft", 0.12345678), ("steht", 0.87654322))
    (found,) = lines(Decision(16_000, 96_000, "steht", likelihoods, 9, Quality()))
    assert found == {
        "time": "2026-01-31T12:00:00.250Z",
        "start_sample": 16_000,
        "end_sample": 96_000,
        "label": "steht",
        "likelihoods": {"läuft": 0.123457, "steht": 0.876543},
        "windows": 9,
        "quality": {"state": "ok", "reasons": []},
    }


def test_what_could_not_be_judged() -> None:
    (found,) = lines(Decision(0, 5, INVALID, (), 0, Quality(False, ("gap",))))
    assert (found["label"], found["likelihoods"], found["windows"]) == (INVALID, {}, 0)
    assert found["quality"] == {"state": "invalid", "reasons": ["gap"]}


def test_each_line_is_readable_at_once() -> None:
    class Stream(io.StringIO):
        flushed = 0

        def flush(self) -> None:
            self.flushed = self.tell()

    stream = Stream()
    JsonLines(stream).decision(Event(WHEN, Decision(0, 5, "a", (("a", 1.0),), 1, Quality())))
    assert stream.flushed == len(stream.getvalue()) > 0
