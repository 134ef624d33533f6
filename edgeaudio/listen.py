"""Live: the loop that ties the rooms together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from edgeaudio.audio.quality import rms_dbfs
from edgeaudio.audio.source import Source
from edgeaudio.audio.windows import cut
from edgeaudio.decide.horizon import Horizon, windows_in
from edgeaudio.errors import ModelFileError
from edgeaudio.model import Model
from edgeaudio.pipeline import Predictor, window_spec
from edgeaudio.sinks.base import Sink
from edgeaudio.types import Decision, Event

METER_SECONDS = 0.1
"""How often a sink that shows the level hears of it, at least."""


def decisions(
    model: Model,
    source: Source,
    sinks: Sequence[Sink] = (),
    *,
    hop: float | None = None,
    horizon: float | None = None,
) -> Iterator[Decision]:
    """Decide about `source` until it ends; every decision goes to the sinks and is yielded.

    hop: seconds between windows. horizon: seconds that one decision covers. Both as the model
    file says if None. A decision comes at every hop once a whole horizon has been heard; if
    the source ends before, one decision covers what there was. Lost sound is declared at once,
    by an `INVALID` decision.

    Raises EdgeAudioError for a horizon shorter than a window, ModelFileError for a model
    without a head, AudioFileError or MicrophoneError when the source fails.
    """
    if model.contract.head is None:
        raise ModelFileError("This model file has no head, so there is nothing to decide.")
    spec = window_spec(model, hop)
    seconds = model.contract.horizon if horizon is None else horizon
    sliding = Horizon(
        windows_in(seconds, spec), model.contract.head.fusion, model.labels, model.classify
    )
    predictor = Predictor(model)
    meters = [sink for sink in sinks if type(sink).level is not Sink.level]
    pause = METER_SECONDS if meters else math.inf
    for block, windows in cut(source, spec, pause=pause):
        for meter in meters:
            meter.level(rms_dbfs(block.samples))
        if block.gap:
            for decision in sliding.gap(block.start):
                yield _publish(decision, sinks)
        for prediction in predictor.predict(windows):
            for sink in sinks:
                sink.prediction(prediction)
            for decision in sliding.push(prediction):
                yield _publish(decision, sinks)
    for decision in sliding.flush():
        yield _publish(decision, sinks)


def _publish(decision: Decision, sinks: Sequence[Sink]) -> Decision:
    event = Event(datetime.now(UTC), decision)
    for sink in sinks:
        sink.decision(event)
    return decision
