"""The catalogue of extractors: what each is made of, and its facts. Nothing is loaded here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from edgeaudio.spectrogram import SpectrogramSpec
from edgeaudio.types import F32, F64
from edgeaudio_export.frontends import kumar, logmel, logmel_stats, openl3, vggish
from edgeaudio_export.graphs import GraphBuilder
from edgeaudio_export.networks import kumar as kumar_network
from edgeaudio_export.networks import openl3 as openl3_network
from edgeaudio_export.networks import vggish as vggish_network
from edgeaudio_export.networks import yamnet as yamnet_network
from edgeaudio_export.networks.layers import Arrays

Options = Mapping[str, str]


@dataclass(frozen=True)
class WholeFile:
    """How the peer embeds a whole file at once, where that is not window by window.

    spectrogram: samples [n] -> float32 [T, bands]. add: from a spectrogram [N, T, bands] to
    columns [N, D, T // step - 1]; a column sees two steps, and `margin` frames on either side.
    frame: samples between frames.
    """

    spectrogram: Callable[[F64, Options], F32]
    add: Callable[[GraphBuilder, str, Arrays, Options], str]
    bands: int
    frame: int
    step: int
    margin: int


@dataclass(frozen=True)
class Entry:
    """An extractor as it could be made.

    sample_rate in Hz; window and hop in samples. add: puts the nodes from the spectrogram to the
    embedding into a graph; the last node gives it. rounds: of samples that a comparison gives in
    float64, whether the peer's front-end computes on them in float32. options: values by group,
    the default first.
    weights: ids of the weights that are needed. gigamacs: multiplications for a window in
    convolutions and matrix products, front-end included, in 1e9. definition: digest where there
    are no weights. centred: the peer puts half a window of zeros in front, and covers the end.
    version: changes with the way in which the weights are used.
    """

    id: str
    sample_rate: int
    window: int
    hop: int
    front_end: Callable[[Options], SpectrogramSpec]
    add: Callable[[GraphBuilder, str, Arrays, Options], str]
    dimensions: Callable[[Options], int]
    gigamacs: float
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    weights: Callable[[Options], tuple[str, ...]] = lambda options: ()
    definition: str | None = None
    centred: bool = False
    whole: WholeFile | None = None
    version: int = 1
    rounds: Callable[[Options], bool] = lambda options: False

    @property
    def gigamacs_a_second(self) -> float:
        """Of sound, without overlap."""
        return self.gigamacs * self.sample_rate / self.window


def _unlearned(
    id: str,
    log_mel: logmel.LogMel,
    add: Callable[[GraphBuilder, str], str],
    dimensions: int,
    gigamacs: float,
    definition: str,
) -> Entry:
    """An extractor without weights, on a log-mel spectrogram of our own."""
    return Entry(
        id=id,
        sample_rate=log_mel.sample_rate,
        window=log_mel.window,
        hop=log_mel.window // 2,
        front_end=lambda options: log_mel.spec(),
        add=lambda b, spectrogram, arrays, options: add(b, spectrogram),
        dimensions=lambda options: dimensions,
        gigamacs=gigamacs,
        definition=definition,
    )


def _logmel_stats() -> Entry:
    of = logmel_stats
    parts = (of.LOG_MEL, of.add_embedding, of.DIMENSIONS)
    return _unlearned("logmel-stats", *parts, gigamacs=0.015, definition=of.digest())


def _logmel() -> Entry:
    parts = (logmel.PATCH, logmel.add_embedding, logmel.DIMENSIONS)
    return _unlearned("logmel", *parts, gigamacs=0.008, definition=logmel.digest())


def _openl3(representation: str, content: str, size: int) -> Entry:
    def add(b: GraphBuilder, spectrogram: str, arrays: Arrays, options: Options) -> str:
        return openl3_network.add_network(b, spectrogram, arrays, representation, size)

    return Entry(
        id=f"openl3-{representation}-{content}-{size}",
        sample_rate=openl3.SAMPLE_RATE,
        window=openl3.WINDOW,
        hop=openl3.WINDOW // 2,
        front_end=lambda options: openl3.spec(representation, options["frontend"]),
        add=add,
        rounds=lambda options: options["frontend"] != "librosa",
        dimensions=lambda options: size,
        gigamacs={"linear": 10.17, "mel128": 5.21, "mel256": 10.33}[representation],
        options={"frontend": openl3.GENERATIONS},
        weights=lambda options: (f"openl3-{representation}-{content}",),
        centred=True,
    )


def _vggish() -> Entry:
    def add(b: GraphBuilder, log_mel: str, arrays: Arrays, options: Options) -> str:
        return vggish_network.add_network(
            b, log_mel, arrays, options["activation"], options["postprocess"]
        )

    def weights(options: Options) -> tuple[str, ...]:
        return ("vggish",) if options["postprocess"] == "none" else ("vggish", "vggish-pca")

    return Entry(
        id="vggish",
        sample_rate=vggish.SAMPLE_RATE,
        window=vggish.WINDOW,
        hop=vggish.WINDOW // 2,
        front_end=lambda options: vggish.spec(vggish.VGGISH_OFFSET),
        add=add,
        dimensions=lambda options: vggish_network.DIMENSIONS,
        gigamacs=0.87,
        options={
            "activation": vggish_network.ACTIVATIONS,
            "postprocess": vggish_network.POSTPROCESSES,
        },
        weights=weights,
    )


def _kumar() -> Entry:
    def add(b: GraphBuilder, log_mel: str, arrays: Arrays, options: Options) -> str:
        return kumar_network.add_network(b, log_mel, arrays, options["output"])

    return Entry(
        id="kumar",
        sample_rate=kumar.SAMPLE_RATE,
        window=kumar.WINDOW,
        hop=kumar.STEP * kumar.HOP,
        front_end=lambda options: kumar.spec(options["padding"]),
        add=add,
        dimensions=lambda options: kumar_network.DIMENSIONS[options["output"]],
        gigamacs=0.31,
        options={"output": kumar_network.OUTPUTS, "padding": kumar.PADDINGS},
        weights=lambda options: ("kumar",),
        whole=WholeFile(
            spectrogram=lambda samples, options: kumar.reference(samples, options["padding"]),
            add=lambda b, x, arrays, options: kumar_network.add_columns(
                b, x, arrays, options["output"]
            ),
            bands=kumar.BANDS,
            frame=kumar.HOP,
            step=kumar.STEP,
            margin=2 * kumar.STEP,
        ),
    )


def _yamnet() -> Entry:
    def add(b: GraphBuilder, log_mel: str, arrays: Arrays, options: Options) -> str:
        return yamnet_network.add_network(b, log_mel, arrays, options["output"])

    return Entry(
        id="yamnet",
        sample_rate=vggish.SAMPLE_RATE,
        window=vggish.WINDOW,
        hop=vggish.WINDOW // 2,
        front_end=lambda options: vggish.spec(vggish.YAMNET_OFFSET),
        add=add,
        dimensions=lambda options: yamnet_network.DIMENSIONS[options["output"]],
        gigamacs=0.075,
        options={"output": yamnet_network.OUTPUTS},
        weights=lambda options: ("yamnet",),
    )


CATALOGUE: Mapping[str, Entry] = {
    entry.id: entry
    for entry in (
        _logmel_stats(),
        _logmel(),
        *(
            _openl3(representation, content, size)
            for representation in openl3.REPRESENTATIONS
            for content in ("music", "env")
            for size in openl3_network.SIZES
        ),
        _vggish(),
        _kumar(),
        _yamnet(),
    )
}
