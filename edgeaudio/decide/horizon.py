"""The sliding horizon of live use: one decision a hop, over the last few seconds."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from edgeaudio.decide.fusion import Classify, Fusion
from edgeaudio.errors import EdgeAudioError
from edgeaudio.types import INVALID, Decision, FusionName, Prediction, Quality, WindowSpec

MAX_SECONDS = 86_400.0
MAX_WINDOWS = 10_000  # bounds memory, and the time that one decision takes


def windows_in(seconds: float, spec: WindowSpec) -> int:
    """How many windows lie wholly inside a horizon. Raises EdgeAudioError for none or too many."""
    if not (math.isfinite(seconds) and seconds <= MAX_SECONDS):
        raise EdgeAudioError(f"A horizon of {seconds} s can't be used; a day is the longest.")
    samples = round(seconds * spec.sample_rate)
    if samples < spec.window:
        raise EdgeAudioError(
            f"A horizon of {seconds} s is shorter than the model's window "
            f"({spec.window / spec.sample_rate} s); choose a longer one."
        )
    windows = 1 + (samples - spec.window) // spec.hop
    if windows > MAX_WINDOWS:
        raise EdgeAudioError(
            f"A horizon of {seconds} s holds {windows} windows, {MAX_WINDOWS} at most; "
            "choose a shorter one, or a longer hop."
        )
    return windows


class Horizon:
    """Decides once `windows` windows are there, then at every further one.

    Where quality says that nothing could be measured, the label is `INVALID`: this is the
    live gate. A gap in the sound is declared by an `INVALID` decision, and starts a new
    horizon, so that none reaches across.
    """

    def __init__(
        self, windows: int, kind: FusionName, labels: tuple[str, ...], classify: Classify
    ) -> None:
        self._predictions: deque[Prediction] = deque(maxlen=windows)
        self._fusion = (kind, labels, classify)
        self._pending = False  # windows that no decision has covered yet
        self._decided = 0  # up to this sample, decisions have covered everything

    def push(self, prediction: Prediction) -> Iterator[Decision]:
        """The decision that this window completes, if it does."""
        self._predictions.append(prediction)
        self._pending = True
        if len(self._predictions) == self._predictions.maxlen:
            yield self._decide()

    def gap(self, end: int) -> Iterator[Decision]:
        """Sound was lost; what follows starts at sample `end`.

        `INVALID` from the last decision to there: neither what is missing nor the piece of a
        horizon before it can be judged. Nothing if no sound had come before.
        """
        self._predictions.clear()
        self._pending = False
        if end == 0:
            return
        start = min(self._decided, end - 1)  # a loss that could not be counted is one sample
        self._decided = end
        yield Decision(start, end, INVALID, (), 0, Quality(False, ("gap",)))

    def flush(self) -> Iterator[Decision]:
        """At the end: a decision over less than a horizon, if none has covered it yet."""
        if self._pending:
            yield self._decide()

    def _decide(self) -> Decision:
        fusion = Fusion(*self._fusion)
        for prediction in self._predictions:
            fusion.add(prediction)
        decision = fusion.decision()
        self._pending = False
        self._decided = decision.end
        return decision if decision.quality.valid else replace(decision, label=INVALID)
