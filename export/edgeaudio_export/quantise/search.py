"""A network to int8: how it is calibrated, and which layers stay in float, is measured."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeaudio.errors import EdgeAudioError
from edgeaudio.types import F32
from edgeaudio_export.quantise import exact, folding, scheme
from edgeaudio_export.quantise import graph as graphs
from edgeaudio_export.quantise import layers as layers_of
from edgeaudio_export.quantise.check import check
from edgeaudio_export.quantise.equalise import equalise
from edgeaudio_export.quantise.graph import Graph
from edgeaudio_export.quantise.layers import Layer
from edgeaudio_export.quantise.ranges import METHODS, minmax
from edgeaudio_export.quantise.scheme import Scheme
from edgeaudio_export.quantise.survey import (
    Survey,
    centred_cosine,
    embeddings,
    largest_by_channel,
    survey,
)
from edgeaudio_export.quantise.targets import Target, get_target
from edgeaudio_export.quantise.writer import exact_grid, weights_int8, write

AIM = 0.99
LEAST_WINDOWS = 8
HELD_BACK = 16
"""At most so many windows choose between methods; every fourth is one of them."""

EQUALISED_BY = 24
"""At most so many windows tell how much the channels of a tensor differ."""

FIRST_SHARE = 0.1
RETURNED_SHARE = 0.02
"""Largest share of the multiplications of a layer that stays in float, or returns to it."""

SCAN_MULTIPLICATIONS = 2e12
"""That the scan layer by layer may cost; it takes fewer windows where it would cost more."""

_BEYOND = 1.25
"""How much larger than seen an input on a grid may be."""

Progress = Callable[[str], None]
"""Told what is being done."""


@dataclass(frozen=True)
class QuantisedLayer:
    """A layer as it was written.

    arithmetic: `int8` or `float`. exact: in float on a grid where sums are exact, so that the
    bits are the same on every processor (int8 always is). share: of the network's
    multiplications, 0 to 1. sensitivity: centred cosine that int8 costs here: what is won by
    leaving this layer alone in float; NaN where it was not measured, as int8 was no choice.
    """

    name: str
    operator: str
    arithmetic: str
    exact: bool
    share: float
    sensitivity: float


@dataclass(frozen=True)
class Quantised:
    """A network in int8, and what is known of it.

    method: of calibration. operators: how often each integer operator runs in ONNX Runtime's
    graph. cosine: mean centred cosine against the float network on windows that were held back
    from calibration, but chose between methods. corrected: biases make up for rounded weights.
    """

    model: onnx.ModelProto
    target: str
    method: str
    layers: tuple[QuantisedLayer, ...]
    operators: dict[str, int]
    cosine: float
    methods: dict[str, float]
    corrected: bool

    @property
    def exact(self) -> bool:
        """Whether every layer gives the same bits on every processor."""
        return all(layer.exact for layer in self.layers)


def quantise(
    network: onnx.ModelProto,
    windows: Sequence[NDArray[Any]],
    target: str = "x86-64",
    *,
    keep: Collection[str] = (),
    aim: float = AIM,
    progress: Progress = lambda text: None,
) -> Quantised:
    """Static int8: uint8 activations, int8 weights with a step for each channel, int32 bias.

    network: float32, opset 17, one input [N, ...] -> `embedding` [N, D]; layers that read
    float64 belong to a front-end and stay. windows: at least 8 inputs [1, ...] of real sound,
    as various as what the network is for. target: see `targets.TARGETS`. keep: names of layers
    that stay in float. aim: centred cosine below which small layers return to float.

    The first layer stays in float, on a grid where its sums are exact. Raises EdgeAudioError
    for an unknown target or layer, too few windows, a network without a layer for int8, and
    where ONNX Runtime computes in floats what was written in int8.
    """
    subject = _Subject.of(network, windows, get_target(target), frozenset(keep), progress)
    best = subject.best_method()
    best = subject.corrected(best)
    gains = subject.scan(best)
    best = subject.returned(best, gains, aim)
    return subject.result(best, gains)


@dataclass(frozen=True)
class _Trial:
    plan: Scheme
    method: str
    cosine: float
    methods: dict[str, float]


@dataclass(frozen=True)
class _Subject:
    """A network with all that was measured of its float form."""

    graph: Graph
    layers: tuple[Layer, ...]
    target: Target
    found: Survey
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
    ) -> _Subject:
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
        return cls(graph, layers, target, found, held, wanted, kept, progress)

    # What is decided.

    def best_method(self) -> _Trial:
        """The method of calibration that comes closest, with all layers in int8 that can be."""
        int8 = self._all_int8()
        trials = {}
        for name, method in METHODS.items():
            self.progress(f"calibrating by {name}")
            plan = Scheme(
                target=self.target,
                scales=scheme.scales(self.graph, self.found.histograms, method),
                largest={n: _largest(h) * _BEYOND for n, h in self.found.histograms.items()},
                int8=int8,
                channels=self.found.channels,
            )
            trials[name] = plan, self.cosine(plan)
        name = max(trials, key=lambda n: trials[n][1])
        cosines = {n: cosine for n, (_, cosine) in trials.items()}
        return _Trial(trials[name][0], name, cosines[name], cosines)

    def corrected(self, trial: _Trial) -> _Trial:
        """With biases that make up for the mean of what rounding the weights does, if better."""
        self.progress("correcting biases")
        biases = {x.key: self._corrected_bias(x, trial.plan) for x in self.layers}
        kept = {k: v for k, v in biases.items() if k in trial.plan.int8}
        plan = replace(trial.plan, biases=kept)
        cosine = self.cosine(plan)
        return replace(trial, plan=plan, cosine=cosine) if cosine > trial.cosine else trial

    def scan(self, trial: _Trial) -> dict[str, float]:
        """What leaving each layer alone in float wins, by the tensor that its node gives."""
        macs = sum(self.found.multiplications.values())
        count = int(SCAN_MULTIPLICATIONS / max(1, macs * len(self.layers)))
        held = self.held[: max(4, count)]
        base = self.cosine(trial.plan, held)
        gains = {}
        for layer in self.layers:
            key = layer.key
            if key in trial.plan.int8 and len(trial.plan.int8) > 1:
                self.progress(f"measuring what int8 costs in {layer.name}")
                gains[key] = self.cosine(_without(trial.plan, key), held) - base
        return gains

    def returned(self, trial: _Trial, gains: dict[str, float], aim: float) -> _Trial:
        """With small layers back in float, the costliest first, until `aim` is reached."""
        for key in sorted(gains, key=lambda k: -gains[k]):
            layer = next(x for x in self.layers if x.key == key)
            if trial.cosine >= aim or gains[key] <= 0:
                break
            if self._share(key) > RETURNED_SHARE or not self._is_exact(layer, trial.plan):
                continue
            plan = _without(trial.plan, key)
            cosine = self.cosine(plan)
            if cosine > trial.cosine:
                trial = replace(trial, plan=plan, cosine=cosine)
        return trial

    def result(self, trial: _Trial, gains: dict[str, float]) -> Quantised:
        self.progress("checking what ONNX Runtime makes of it")
        model = write(self.graph, self.layers, trial.plan)
        names = {x.key: x.name for x in self.layers}
        weights = {f"{key}.weight.integers": names[key] for key in trial.plan.int8}
        return Quantised(
            model=model,
            target=self.target.name,
            method=trial.method,
            layers=tuple(self._describe(x, trial.plan, gains) for x in self.layers),
            operators=check(model, weights),
            cosine=trial.cosine,
            methods=trial.methods,
            corrected=bool(trial.plan.biases),
        )

    # What is measured.

    def cosine(self, plan: Scheme, held: Sequence[NDArray[Any]] | None = None) -> float:
        """Centred cosine of the network as planned, on windows that were held back."""
        chosen = self.held if held is None else held
        found = embeddings(write(self.graph, self.layers, plan), chosen)
        return centred_cosine(self.wanted[: len(chosen)], found)

    def _all_int8(self) -> frozenset[str]:
        """All but the first layers, where those can be exact in float and cost little there."""
        largest = {n: _largest(h) * _BEYOND for n, h in self.found.histograms.items()}
        bare = Scheme(self.target, {}, largest, frozenset())
        first = {
            x.key
            for x in self.layers
            if x.first
            and self._share(x.key) <= FIRST_SHARE
            and exact_grid(self.graph, x, bare, integers=False).bits >= exact.LEAST_BITS
        }
        int8 = frozenset(x.key for x in self.layers) - self.kept - first
        if not int8:
            raise EdgeAudioError(
                "Nothing of this network is left to quantise: all its layers stay in float "
                f"({', '.join(x.name for x in self.layers[:5])})."
            )
        return int8

    def _share(self, key: str) -> float:
        return self.found.multiplications[key] / sum(self.found.multiplications.values())

    def _is_exact(self, layer: Layer, plan: Scheme) -> bool:
        """Whether `layer` in float would be exact, and better than int8."""
        grid = exact_grid(self.graph, layer, plan, integers=self._reads_integers(layer, plan))
        return grid.bits >= exact.LEAST_BITS

    def _reads_integers(self, layer: Layer, plan: Scheme) -> bool:
        source = scheme.root(self.graph, layer.input)
        made_so = any(x.output == source and x.key in plan.int8 for x in self.layers)
        return made_so or scheme.is_wanted(self.graph, layer.input, plan.int8)

    def _corrected_bias(self, layer: Layer, plan: Scheme) -> NDArray[Any]:
        """The bias less what rounding the weights adds to the mean of each channel."""
        step = plan.scales[scheme.root(self.graph, layer.input)].step
        whole, steps, _ = weights_int8(layer, layer.bias, step, plan.target.weight_limit)
        shape = (-1, *[1] * (layer.weight.ndim - 1))
        error = whole * steps.astype(np.float64).reshape(shape) - layer.weight
        taps = error.reshape(*error.shape[:2], -1).sum(axis=2)
        means = self.found.means[layer.key]
        groups = len(means) // taps.shape[1]
        by_group = means.reshape(groups, -1)[np.arange(len(taps)) * groups // len(taps)]
        return np.asarray(layer.bias - (taps * by_group).sum(axis=1))

    def _describe(self, layer: Layer, plan: Scheme, gains: dict[str, float]) -> QuantisedLayer:
        key = layer.key
        return QuantisedLayer(
            name=layer.name,
            operator=layer.operator,
            arithmetic="int8" if key in plan.int8 else "float",
            exact=key in plan.int8 or self._is_exact(layer, plan),
            share=self._share(key),
            sensitivity=gains.get(key, float("nan")),
        )


def _equalised(
    graph: Graph, layers: tuple[Layer, ...], windows: Sequence[NDArray[Any]]
) -> tuple[Graph, tuple[Layer, ...]]:
    largest = largest_by_channel(graph, layers, windows[:EQUALISED_BY])
    equal = graphs.read(equalise(graph, layers, largest))
    return equal, layers_of.find(equal)


def _without(plan: Scheme, key: str) -> Scheme:
    biases = {k: v for k, v in plan.biases.items() if k != key}
    channels = {k: v for k, v in plan.channels.items() if k != key}
    return replace(plan, int8=plan.int8 - {key}, biases=biases, channels=channels)


def _largest(histogram: Any) -> float:
    return max(abs(value) for value in minmax(histogram))


def _check(
    graph: Graph,
    layers: tuple[Layer, ...],
    windows: Sequence[NDArray[Any]],
    keep: frozenset[str],
) -> None:
    if not layers:
        raise EdgeAudioError(
            "There is nothing to quantise in this network: no convolution or dense layer with "
            f"constant float32 weights reads float32 that is computed from {graph.input!r}."
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
