"""Which extractors there are, by id."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx

from edgeaudio.errors import EdgeAudioError
from edgeaudio_export.frontends import logmel_stats


@dataclass(frozen=True, slots=True)
class Extractor:
    """Window to embedding, as a graph `pcm` float32 [N, window] -> `embedding` [N, dimensions].

    sample_rate in Hz; window in samples. digest: SHA-256 of its weights, or of its definition
    where it has none. licences: of the weights inside, if any.
    """

    id: str
    sample_rate: int
    window: int
    dimensions: int
    digest: str
    graph: Callable[[], onnx.ModelProto]
    licences: tuple[str, ...] = ()

    @property
    def default_hop(self) -> int:
        """Half a window, in samples."""
        return self.window // 2


EXTRACTORS = {
    e.id: e
    for e in (
        Extractor(
            id="logmel-stats",
            sample_rate=logmel_stats.SAMPLE_RATE,
            window=logmel_stats.WINDOW,
            dimensions=logmel_stats.DIMENSIONS,
            digest=logmel_stats.digest(),
            graph=logmel_stats.graph,
        ),
    )
}


def get_extractor(name: str) -> Extractor:
    """The extractor called `name`. Raises EdgeAudioError that lists what there is."""
    if name not in EXTRACTORS:
        raise EdgeAudioError(
            f"There is no extractor {name!r}; there is: {', '.join(sorted(EXTRACTORS))}."
        )
    return EXTRACTORS[name]
