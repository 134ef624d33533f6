"""Our front-ends by name, for networks that take a log-mel instead of samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import onnx

from edgeaudio.errors import EdgeAudioError
from edgeaudio.spectrogram import SpectrogramSpec
from edgeaudio_export.frontends import kumar, openl3, vggish
from edgeaudio_export.frontends.graph import add_spectrogram
from edgeaudio_export.graphs import GraphBuilder


@dataclass(frozen=True)
class Frontend:
    """Samples to a spectrogram, time first. sample_rate in Hz. make: the front-end itself."""

    name: str
    sample_rate: int
    make: Callable[[], SpectrogramSpec]

    @property
    def spec(self) -> SpectrogramSpec:
        """The front-end itself; its filter bank is computed when it is first asked for."""
        return self.make()

    def graph(self) -> onnx.ModelProto:
        """ONNX: `pcm` float32 [N, window] -> `spectrogram` float32 [N, frames, bands]."""
        b, spec = GraphBuilder(), self.spec
        add_spectrogram(b, "pcm", spec)
        shape = ["N", spec.frames, spec.bands]
        return b.model(self.name, {"pcm": ["N", spec.window]}, {spec.tensor: shape})


def get_frontend(name: str, sample_rate: int, window: int) -> Frontend:
    """The front-end called `name`, which takes windows of that size.

    Raises EdgeAudioError if there is none, or its windows differ.
    """
    if name not in FRONTENDS:
        raise EdgeAudioError(
            f"There is no front-end {name!r} for a log-mel; there are: {', '.join(FRONTENDS)}."
        )
    found = FRONTENDS[name]
    wanted, rate = found.spec.window, found.sample_rate
    if (sample_rate, window) != (rate, wanted):
        raise EdgeAudioError(
            f"The front-end {name} takes windows of {wanted} samples at {rate} Hz "
            f"({wanted / rate:.6g} s), not of {window} samples at {sample_rate} Hz."
        )
    return found


def _openl3(representation: str, generation: str) -> Frontend:
    suffix = "" if generation == openl3.GENERATIONS[0] else f"@{generation}"
    make = partial(openl3.spec, representation, generation)
    return Frontend(f"openl3-{representation}{suffix}", openl3.SAMPLE_RATE, make)


def _kumar(padding: str) -> Frontend:
    name = "kumar" if padding == kumar.PADDINGS[0] else f"kumar@{padding}"
    return Frontend(name, kumar.SAMPLE_RATE, partial(kumar.spec, padding))


FRONTENDS: Mapping[str, Frontend] = {
    frontend.name: frontend
    for frontend in (
        *(
            _openl3(representation, generation)
            for representation in openl3.REPRESENTATIONS
            for generation in openl3.GENERATIONS
        ),
        Frontend("vggish", vggish.SAMPLE_RATE, partial(vggish.spec, vggish.VGGISH_OFFSET)),
        Frontend("yamnet", vggish.SAMPLE_RATE, partial(vggish.spec, vggish.YAMNET_OFFSET)),
        *(_kumar(padding) for padding in kumar.PADDINGS),
    )
}
