"""Source to predictions: the stretch of the way that offline and live use have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from edgeaudio.audio.quality import assess
from edgeaudio.audio.source import Source
from edgeaudio.audio.windows import windows_of
from edgeaudio.errors import EdgeAudioError
from edgeaudio.model import Model
from edgeaudio.types import Block, Prediction, WindowSpec


def window_spec(model: Model, hop: float | None) -> WindowSpec:
    """The model's windows, with another hop (seconds) if given. Raises EdgeAudioError."""
    spec = model.contract.window_spec
    if hop is None:
        return spec
    samples = round(hop * spec.sample_rate)
    if samples < 1:
        raise EdgeAudioError(f"A hop of {hop} s is no step forward; give a number above 0.")
    return replace(spec, hop=samples)


def predictions(
    model: Model,
    source: Source,
    spec: WindowSpec,
    *,
    on_block: Callable[[Block], None] | None = None,
) -> Iterator[Prediction]:
    """What the model says of each window of `source`. `on_block`: see `windows_of`."""
    for window in windows_of(source, spec, on_block=on_block):
        embedding = model.embed(window.samples[None])
        yield Prediction(
            start=window.start,
            end=window.start + spec.window,
            embedding=embedding[0],
            likelihood=model.classify(embedding)[0],
            quality=assess(window.samples),
            gap=window.gap,
        )
