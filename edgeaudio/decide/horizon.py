"""The sliding horizon of live use: one decision a hop, over the last few seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from edgeaudio.decide.fusion import Classify, Fusion
from edgeaudio.errors import EdgeAudioError
from edgeaudio.types import INVALID, Decision, FusionName, Prediction, Quality, WindowSpec


def windows_in(seconds: float, spec: WindowSpec) -> int:
    """How many windows lie wholly inside a horizon. Raises EdgeAudioError if none does."""
    samples = round(seconds * spec.sample_rate)
    if samples < spec.window:
        raise EdgeAudioError(
            f"A horizon of {seconds} s is shorter than the model's window "
            f"({spec.window / spec.sample_rate} s); choose a longer one."
        )
    return 1 + (samples - spec.window) // spec.hop


class Horizon:
    """Decides once `windows` windows are there, then at every further one.

    Where quality says that nothing could be measured, the label is `INVALID`: this is the
    live gate. A gap in the sound is declared by an `INVALID` decision over the time of the
    gap, and starts a new horizon, so that none reaches across.
    """

    def __init__(
        self, windows: int, kind: FusionName, labels: tuple[str, ...], classify: Classify
    ) -> None:
        self._predictions: deque[Prediction] = deque(maxlen=windows)
        self._fusion = (kind, labels, classify)
        self._pending = False  # windows that no decision has covered yet
        self._end = 0

    @property
    def filled(self) -> tuple[int, int]:
        """How many windows are there, and how many a decision needs."""
        return len(self._predictions), self._predictions.maxlen or 0

    def push(self, prediction: Prediction) -> Iterator[Decision]:
        """The decisions that this window completes."""
        if prediction.gap:
            yield from self.flush()
            yield Decision(self._end, prediction.start, INVALID, (), 0, Quality(False, ("gap",)))
            self._predictions.clear()
        self._predictions.append(prediction)
        self._end = prediction.end
        self._pending = True
        if len(self._predictions) == self._predictions.maxlen:
            yield self._decide()

    def flush(self) -> Iterator[Decision]:
        """At the end: a decision over less than a horizon, if none has covered it yet."""
        if self._pending:
            yield self._decide()

    def _decide(self) -> Decision:
        fusion = Fusion(*self._fusion)
        for prediction in self._predictions:
            fusion.add(prediction)
        self._pending = False
        decision = fusion.decision()
        return decision if decision.quality.valid else replace(decision, label=INVALID)
