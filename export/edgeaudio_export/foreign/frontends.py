"""Our front-ends by name, for networks that take a log-mel instead of samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx

from edgeaudio.errors import EdgeAudioError
from edgeaudio_export.frontends import kumar, openl3, vggish
from edgeaudio_export.graphs import GraphBuilder


@dataclass(frozen=True)
class Frontend:
    """Samples to a spectrogram, time first.

    sample_rate in Hz; window in samples; frames, bands: of the spectrogram. add: puts its nodes
    from `pcm` float32 [N, window] to float32 [N, frames, bands] into a graph.
    """

    name: str
    sample_rate: int
    window: int
    frames: int
    bands: int
    add: Callable[[GraphBuilder, str], str]

    def graph(self) -> onnx.ModelProto:
        """ONNX: `pcm` float32 [N, window] -> `spectrogram` float32 [N, frames, bands]."""
        b = GraphBuilder()
        b.rename_last(self.add(b, "pcm"), "spectrogram")
        shape = ["N", self.frames, self.bands]
        return b.model(self.name, {"pcm": ["N", self.window]}, {"spectrogram": shape})


def get_frontend(name: str, sample_rate: int, window: int) -> Frontend:
    """The front-end called `name`, which takes windows of that size.

    Raises EdgeAudioError if there is none, or its windows differ.
    """
    if name not in FRONTENDS:
        raise EdgeAudioError(
            f"There is no front-end {name!r} for a log-mel; there are: {', '.join(FRONTENDS)}."
        )
    found = FRONTENDS[name]
    if (sample_rate, window) != (found.sample_rate, found.window):
        raise EdgeAudioError(
            f"The front-end {name} takes windows of {found.window} samples at "
            f"{found.sample_rate} Hz ({found.window / found.sample_rate:.6g} s), not of {window} "
            f"samples at {sample_rate} Hz."
        )
    return found


def _openl3(representation: str, generation: str) -> Frontend:
    bands, frames = openl3.shape(representation)
    suffix = "" if generation == openl3.GENERATIONS[0] else f"@{generation}"
    return Frontend(
        f"openl3-{representation}{suffix}",
        openl3.SAMPLE_RATE,
        openl3.WINDOW,
        frames,
        bands,
        lambda b, pcm: openl3.add_spectrogram(b, pcm, representation, generation),
    )


def _vggish(name: str, offset: float) -> Frontend:
    return Frontend(
        name,
        vggish.SAMPLE_RATE,
        vggish.WINDOW,
        vggish.FRAMES,
        vggish.BANDS,
        lambda b, pcm: vggish.add_log_mel(b, pcm, offset),
    )


def _kumar(padding: str) -> Frontend:
    return Frontend(
        "kumar" if padding == kumar.PADDINGS[0] else f"kumar@{padding}",
        kumar.SAMPLE_RATE,
        kumar.WINDOW,
        kumar.SEGMENT,
        kumar.BANDS,
        lambda b, pcm: kumar.add_log_mel(b, pcm, padding),
    )


FRONTENDS: Mapping[str, Frontend] = {
    frontend.name: frontend
    for frontend in (
        *(
            _openl3(representation, generation)
            for representation in openl3.REPRESENTATIONS
            for generation in openl3.GENERATIONS
        ),
        _vggish("vggish", vggish.VGGISH_OFFSET),
        _vggish("yamnet", vggish.YAMNET_OFFSET),
        *(_kumar(padding) for padding in kumar.PADDINGS),
    )
}
