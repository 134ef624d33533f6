"""Decisions as JSON, one object a line."""

from __future__ import annotations

import json
from typing import Any, TextIO

from edgeaudio.sinks.base import Sink
from edgeaudio.types import Decision, Event, Quality

_DIGITS = 6


class JsonLines(Sink):
    """Writes each decision to a text stream, flushed, so that a reader sees it at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def decision(self, event: Event) -> None:  # noqa: D102
        record = event_record(event)
        self._stream.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._stream.flush()


def event_record(event: Event) -> dict[str, Any]:
    """A live decision: time in UTC (ISO 8601), sample indices at the model's rate."""
    decision = event.decision
    return {
        "time": event.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "start_sample": decision.start,
        "end_sample": decision.end,
        **decision_record(decision),
    }


def decision_record(decision: Decision) -> dict[str, Any]:
    """What live and offline decisions share; likelihoods to six digits."""
    return {
        "label": decision.label,
        "likelihoods": {label: round(value, _DIGITS) for label, value in decision.likelihoods},
        "windows": decision.windows,
        "quality": quality_record(decision.quality),
    }


def quality_record(quality: Quality) -> dict[str, Any]:
    """Quality as people and programs read it."""
    return {"state": "ok" if quality.valid else "invalid", "reasons": list(quality.reasons)}
