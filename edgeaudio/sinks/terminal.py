"""The live view: level meter, likelihood bars, the decision in force."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edgeaudio.sinks.base import Sink
from edgeaudio.types import INVALID, Event, Prediction

_BAR = 40  # characters, on a terminal that is wide enough
_LEAST_BAR = 5
_NUMBER = 9  # characters of the right-hand column
_GAP = 2
_METER_FLOOR = -80.0
_REFRESH = 8  # pictures a second
_METER_HOLD = 0.8  # how much of a peak is left after one block


class LiveView(Sink):
    """Redraws a few lines in place. `horizon`: windows that a decision needs."""

    def __init__(
        self, console: Console, title: str, labels: tuple[str, ...], horizon: int, rate: int
    ) -> None:
        self._console = console
        self._title = title
        self._labels = labels
        self._horizon = horizon
        self._rate = rate
        self._dbfs = _METER_FLOOR
        self._windows = 0
        self._last: Prediction | None = None
        self._event: Event | None = None
        self._live = Live(get_renderable=self.render, console=console, refresh_per_second=_REFRESH)
        self._live.start()

    def level(self, dbfs: float) -> None:  # noqa: D102
        self._dbfs = max(dbfs, self._dbfs + (_METER_FLOOR - self._dbfs) * (1 - _METER_HOLD))

    def prediction(self, prediction: Prediction) -> None:  # noqa: D102
        self._windows += 1
        self._last = prediction

    def decision(self, event: Event) -> None:  # noqa: D102
        self._event = event

    def close(self) -> None:  # noqa: D102
        self._live.stop()

    def render(self) -> RenderableType:
        """The picture as of now."""
        label_width = max(map(len, (*self._labels, "level")))
        left = self._console.width - label_width - _NUMBER - 2 * _GAP
        bar = max(_LEAST_BAR, min(_BAR, left))
        table = Table.grid(padding=(0, _GAP))
        table.add_column(justify="right", no_wrap=True)
        table.add_column(width=bar)
        table.add_column(justify="right", min_width=_NUMBER, no_wrap=True)
        share = (self._dbfs - _METER_FLOOR) / -_METER_FLOOR
        table.add_row("level", _bar(share, bar, "yellow"), f"{self._dbfs:.0f} dBFS")
        likelihoods = dict(self._event.decision.likelihoods) if self._event else {}
        for label in self._labels:
            value = likelihoods.get(label, 0.0)
            best = self._event is not None and self._event.decision.label == label
            style = "bold green" if best else "blue"
            table.add_row(
                Text(label, style if best else ""), _bar(value, bar, style), f"{value:.2f}"
            )
        return Group(Text(self._title, "dim"), table, self._status())

    def _status(self) -> Text:
        if self._event is None:
            return Text(
                f"listening: window {self._windows} of {self._horizon} of the first horizon"
            )
        decision = self._event.decision
        span = f"{decision.start / self._rate:.1f} to {decision.end / self._rate:.1f} s"
        clock = self._event.time.astimezone().strftime("%H:%M:%S")
        if decision.label == INVALID:
            reasons = ", ".join(decision.quality.reasons)
            return Text(f"{clock}  {INVALID}: {reasons}  ({span})", "bold red")
        return Text(f"{clock}  {decision.label}  ({decision.windows} windows, {span})", "bold")


def _bar(share: float, width: int, style: str) -> Text:
    filled = round(width * min(1.0, max(0.0, share)))
    return Text("█" * filled, style) + Text("·" * (width - filled), "dim")
