"""A network that is to be quantised: what it computes in float, and how trials compare to that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeaudio.errors import EdgeAudioError, NothingToQuantiseError
from edgeaudio.types import F32
from edgeaudio_export.quantise import folding
from edgeaudio_export.quantise import graph as graphs
from edgeaudio_export.quantise import layers as layers_of
from edgeaudio_export.quantise.equalise import equalise
from edgeaudio_export.quantise.graph import Graph
from edgeaudio_export.quantise.layers import Layer
from edgeaudio_export.quantise.ranges import minmax
from edgeaudio_export.quantise.scheme import Scheme
from edgeaudio_export.quantise.survey import (
    Survey,
    centred_cosine,
    embeddings,
    largest_by_channel,
    survey,
)
from edgeaudio_export.quantise.targets import Target
from edgeaudio_export.quantise.writer import Written, write

LEAST_WINDOWS = 8
HELD_BACK = 16
"""At most so many windows choose between methods; every fourth is one of them."""

EQUALISED_BY = 24
"""At most so many windows tell how much the channels of a tensor differ."""

RETURNED_SHARE = 0.02
RETURNED_MULTIPLICATIONS = 3e7
MOST_RETURNED = 0.12
"""What may return to float, all together: a share of the network, or so many multiplications
where that is more, which take a small device a few milliseconds; never more than the last
share, neither of multiplications nor of weights, which are four times as large in float."""

_BEYOND = 1.25
"""How much larger than seen an input on a grid may be."""

Progress = Callable[[str], None]
"""Told what is being done."""


@dataclass(frozen=True)
class Subject:
    """A network with all that was measured of its float form.

    found: on `windows`, those that calibrate. calibrated, wanted: the embeddings of `windows` and
    of `held`, those that were held back. kept: keys of the layers that must stay in float.
    """

    graph: Graph
    layers: tuple[Layer, ...]
    target: Target
    found: Survey
    windows: tuple[NDArray[Any], ...]
    calibrated: F32
    held: tuple[NDArray[Any], ...]
    wanted: F32
    kept: frozenset[str]
    progress: Progress

    @classmethod
    def of(
        cls,
        network: onnx.ModelProto,
        windows: Sequence[NDArray[Any]],
        target: Target,
        keep: frozenset[str],
        progress: Progress,
    ) -> Subject:
        """Run the network on all windows. Raises EdgeAudioError for what can't be calibrated by."""
        graph = folding.fold(graphs.read(network))
        layers = layers_of.find(graph)
        _check(graph, layers, windows, keep)
        progress(f"running the network on {len(windows)} windows")
        held = tuple(windows[::4][:HELD_BACK])
        rest = [window for i, window in enumerate(windows) if i % 4 or i // 4 >= HELD_BACK]
        graph, layers = _equalised(graph, layers, rest)
        found = survey(graph, layers, rest)
        wanted = embeddings(graph.model, held)
        spread = float(np.abs(wanted - wanted.mean(axis=0)).max())
        if not spread > 1e-6 * float(np.abs(wanted).max()):
            raise EdgeAudioError(
                "The network gives the same embedding for all windows it is to be calibrated "
                "with; give windows of different sounds."
            )
        kept = frozenset(x.key for x in layers if x.name in keep)
        calibrated = embeddings(graph.model, rest)
        return cls(
            graph=graph,
            layers=layers,
            target=target,
            found=found,
            windows=tuple(rest),
            calibrated=calibrated,
            held=held,
            wanted=wanted,
            kept=kept,
            progress=progress,
        )

    def cosine(self, plan: Scheme, held: Sequence[NDArray[Any]] | None = None) -> float:
        """Centred cosine of the network as planned, on windows that were held back."""
        chosen = self.held if held is None else held
        found = embeddings(self.write(plan).model, chosen)
        return centred_cosine(self.wanted[: len(chosen)], found)

    def write(self, plan: Scheme) -> Written:
        """The network as planned."""
        return write(self.graph, self.layers, plan)

    def largest(self) -> dict[str, float]:
        """How large the values of a tensor may be where it is put on a grid."""
        ranges = {name: minmax(seen) for name, seen in self.found.histograms.items()}
        return {n: max(abs(value) for value in ends) * _BEYOND for n, ends in ranges.items()}

    def names(self, keys: Collection[str]) -> str:
        """The names of layers, in the network's order."""
        return " and ".join(layer.name for layer in self.layers if layer.key in keys)

    def share(self, keys: Iterable[str]) -> float:
        """The share of the multiplications that layers have."""
        every = self.found.multiplications
        return sum(every[key] for key in keys) / sum(every.values())

    def weights(self, keys: Iterable[str]) -> float:
        """The share of the weights that layers have."""
        every = {x.key: x.weight.size for x in self.layers}
        return sum(every[key] for key in keys) / sum(every.values())

    def fits(self, keys: frozenset[str], spent: float, weights: float) -> bool:
        """Whether layers may return to float beside those that did."""
        total = sum(self.found.multiplications.values())
        share = max(RETURNED_SHARE, min(MOST_RETURNED, RETURNED_MULTIPLICATIONS / total))
        return spent + self.share(keys) <= share and weights + self.weights(keys) <= MOST_RETURNED


def _equalised(
    graph: Graph, layers: tuple[Layer, ...], windows: Sequence[NDArray[Any]]
) -> tuple[Graph, tuple[Layer, ...]]:
    largest = largest_by_channel(graph, layers, windows[:EQUALISED_BY])
    equal = graphs.read(equalise(graph, layers, largest))
    return equal, layers_of.find(equal)


def _check(
    graph: Graph,
    layers: tuple[Layer, ...],
    windows: Sequence[NDArray[Any]],
    keep: frozenset[str],
) -> None:
    if not layers:
        raise NothingToQuantiseError(
            "There is nothing to quantise in this network: no convolution or dense layer with "
            "weights of its own in float32."
        )
    if unknown := keep - {layer.name for layer in layers}:
        raise EdgeAudioError(
            f"There is no layer {min(unknown)!r} to keep in float; there are "
            f"{', '.join(layer.name for layer in layers)}."
        )
    if len(windows) < LEAST_WINDOWS:
        raise EdgeAudioError(
            f"{len(windows)} windows are too few to calibrate by; give at least {LEAST_WINDOWS}."
        )
