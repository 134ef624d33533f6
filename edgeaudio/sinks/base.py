"""What every sink is. Each method does nothing unless the sink cares."""

from __future__ import annotations

from edgeaudio.types import Event, Prediction


class Sink:
    """Receives what the loop produces, in order and in the loop's own thread: be quick."""

    def level(self, dbfs: float) -> None:
        """RMS level of the sound that just arrived, in dBFS."""

    def prediction(self, prediction: Prediction) -> None:
        """One window has been classified."""

    def decision(self, event: Event) -> None:
        """A decision has been made."""

    def close(self) -> None:
        """Nothing more will come."""
