"""A network to int8: how it is calibrated, and which layers stay in float, is measured."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeaudio.errors import EdgeAudioError, NothingToQuantiseError
from edgeaudio.types import F32
from edgeaudio_export.quantise import exact, folding, outcome, scheme
from edgeaudio_export.quantise import graph as graphs
from edgeaudio_export.quantise import layers as layers_of
from edgeaudio_export.quantise.check import check
from edgeaudio_export.quantise.equalise import equalise, pairs
from edgeaudio_export.quantise.graph import Graph
from edgeaudio_export.quantise.layers import Layer
from edgeaudio_export.quantise.ranges import METHODS, Range, minmax
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
"""Largest share of the multiplications of a first layer that stays in float."""

RETURNED_SHARE = 0.02
RETURNED_MULTIPLICATIONS = 3e7
MOST_RETURNED = 0.12
"""What may return to float, all together: a share of the network, or so many multiplications
where that is more, which take a small device a few milliseconds; never more than the last
share, neither of multiplications nor of weights, which are four times as large in float."""

LEAST_GAIN = 1e-4
"""In centred cosine, for which a layer returns to float."""

SCAN_MULTIPLICATIONS = 2e12
"""That the scan layer by layer may cost; it takes fewer windows where it would cost more."""

_BEYOND = 1.25
"""How much larger than seen an input on a grid may be."""

CORRECTION_COST = 0.3
"""Part of what is lost of the cosine that correcting the embedding may cost, on few windows.

It brings each value closer by its own measure, which a head that scales its features depends on;
the cosine, in which large values count most, hardly sees that (YAMNet, ESC-10, five folds: error
in units of each value's spread down in all, cosine up in two and down in three by 0.006 at most).
"""

Gains = dict[frozenset[str], float]
"""Centred cosine by the layers, told apart by the tensors that their nodes give."""

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
    trials = subject.methods()
    best = max(trials.values(), key=lambda trial: trial.cosine)
    best = subject.refined(subject.corrected(best), aim)
    gains = subject.scan(best)
    best = subject.returned(best, gains, aim)
    return subject.result(best, gains, {name: t.cosine for name, t in trials.items()})


@dataclass(frozen=True)
class _Trial:
    plan: Scheme
    method: str
    cosine: float
    ranges: dict[str, Range]


@dataclass(frozen=True)
class _Subject:
    """A network with all that was measured of its float form."""

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

    # What is decided.

    def methods(self) -> dict[str, _Trial]:
        """Each method of calibration for all tensors, with all layers in int8 that can be."""
        int8 = self._all_int8()
        trials = {}
        for name, method in METHODS.items():
            self.progress(f"calibrating by {name}")
            kept_ranges = {n: method(h) for n, h in self.found.histograms.items()}
            plan = Scheme(
                target=self.target,
                scales=scheme.scales(self.graph, kept_ranges),
                largest={n: _largest(h) * _BEYOND for n, h in self.found.histograms.items()},
                int8=int8,
                channels=self.found.channels,
            )
            trials[name] = _Trial(plan, name, self.cosine(plan), kept_ranges)
        return trials

    def refined(self, trial: _Trial, aim: float) -> _Trial:
        """With another method for single tensors, where that comes closer."""
        for tensor, histogram in self.found.histograms.items():
            if trial.cosine >= aim:
                break
            self.progress(f"calibrating {tensor}")
            for method in METHODS.values():
                ranges = trial.ranges | {tensor: method(histogram)}
                scales = scheme.scales(self.graph, ranges)
                if scales == trial.plan.scales:
                    continue
                plan = replace(trial.plan, scales=scales)
                cosine = self.cosine(plan)
                if cosine > trial.cosine + LEAST_GAIN:
                    trial = replace(trial, plan=plan, cosine=cosine, ranges=ranges)
        return trial

    def corrected(self, trial: _Trial) -> _Trial:
        """With biases that make up for the mean of what rounding the weights does, if better."""
        self.progress("correcting biases")
        biases = {x.key: self._corrected_bias(x, trial.plan) for x in self.layers}
        kept = {k: v for k, v in biases.items() if k in trial.plan.int8}
        plan = replace(trial.plan, biases=kept)
        cosine = self.cosine(plan)
        return replace(trial, plan=plan, cosine=cosine) if cosine > trial.cosine else trial

    def scan(self, trial: _Trial) -> Gains:
        """What leaving layers alone in float wins: one at a time, and two in a row.

        Two in a row are needed where it is the tensor between them that 8 bits are too few for.
        """
        macs = sum(self.found.multiplications.values())
        count = int(SCAN_MULTIPLICATIONS / max(1, macs * len(self.layers)))
        held = self.held[: max(4, count)]
        base = self.cosine(trial.plan, held)
        gains = {}
        for keys in self._candidates(trial.plan):
            names = " and ".join(x.name for x in self.layers if x.key in keys)
            self.progress(f"measuring what int8 costs in {names}")
            gains[keys] = self.cosine(_without(trial.plan, keys), held) - base
        return gains

    def _candidates(self, plan: Scheme) -> list[frozenset[str]]:
        alone = [frozenset([x.key]) for x in self.layers if x.key in plan.int8]
        both = [
            frozenset([first.key, second.key])
            for first, second in pairs(self.graph, self.layers)
            if plan.int8 >= {first.key, second.key}
        ]
        small = [keys for keys in both if self._fits(keys, 0.0, 0.0)]
        return [keys for keys in alone + small if keys < plan.int8]

    def returned(self, trial: _Trial, gains: Gains, aim: float) -> _Trial:
        """With small layers back in float, the costliest first, until `aim` is reached."""
        spent, weights = 0.0, 0.0
        for keys in sorted(gains, key=lambda k: -gains[k]):
            if trial.cosine >= aim or gains[keys] <= 0:
                break
            rest = keys & trial.plan.int8
            plan = _without(trial.plan, keys)
            if not rest or not plan.int8 or not self._fits(rest, spent, weights):
                continue
            if not all(self._is_exact(x, plan) for x in self.layers if x.key in keys):
                continue
            self.progress("returning " + " and ".join(x.name for x in self.layers if x.key in keys))
            cosine = self.cosine(plan)
            if cosine > trial.cosine + LEAST_GAIN:
                trial = replace(trial, plan=plan, cosine=cosine)
                spent, weights = spent + self._share(rest), weights + self._weights(rest)
        return trial

    def result(self, trial: _Trial, gains: Gains, methods: dict[str, float]) -> Quantised:
        """The model as planned, checked."""
        self.progress("checking what ONNX Runtime makes of it")
        model, cosine = self._finished(trial)
        onnx.checker.check_model(model, full_check=True)
        names = {x.key: x.name for x in self.layers}
        weights = {f"{key}.weight.integers": names[key] for key in trial.plan.int8}
        return Quantised(
            model=model,
            target=self.target.name,
            method=trial.method,
            layers=tuple(self._describe(x, trial.plan, gains) for x in self.layers),
            operators=check(model, weights),
            cosine=cosine,
            methods=methods,
            corrected=bool(trial.plan.biases),
        )

    def _finished(self, trial: _Trial) -> tuple[onnx.ModelProto, float]:
        """The model, with its embedding corrected if that comes closer, and its cosine."""
        model = write(self.graph, self.layers, trial.plan)
        if not outcome.applies(model):
            return model, trial.cosine
        correction = outcome.fit(self.calibrated, embeddings(model, self.windows))
        found = correction.apply(embeddings(model, self.held))
        cosine = centred_cosine(self.wanted, found)
        if cosine < trial.cosine - CORRECTION_COST * (1 - trial.cosine):
            return model, trial.cosine
        return outcome.add(model, correction), cosine

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
            and self._share([x.key]) <= FIRST_SHARE
            and exact_grid(self.graph, x, bare, integers=False).bits >= exact.LEAST_BITS
        }
        int8 = frozenset(x.key for x in self.layers) - self.kept - first
        if not int8:
            raise NothingToQuantiseError(
                "Nothing of this network is left to quantise: all its layers stay in float "
                f"({', '.join(x.name for x in self.layers[:5])})."
            )
        return int8

    def _share(self, keys: Iterable[str]) -> float:
        """Of the network's multiplications."""
        every = self.found.multiplications
        return sum(every[key] for key in keys) / sum(every.values())

    def _weights(self, keys: Iterable[str]) -> float:
        """The share of the weights that layers have."""
        every = {x.key: x.weight.size for x in self.layers}
        return sum(every[key] for key in keys) / sum(every.values())

    def _fits(self, keys: frozenset[str], spent: float, weights: float) -> bool:
        """Whether layers may return to float beside those that did."""
        total = sum(self.found.multiplications.values())
        share = max(RETURNED_SHARE, min(MOST_RETURNED, RETURNED_MULTIPLICATIONS / total))
        return spent + self._share(keys) <= share and weights + self._weights(keys) <= MOST_RETURNED

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

    def _describe(self, layer: Layer, plan: Scheme, gains: Gains) -> QuantisedLayer:
        key = layer.key
        return QuantisedLayer(
            name=layer.name,
            operator=layer.operator,
            arithmetic="int8" if key in plan.int8 else "float",
            exact=key in plan.int8 or self._is_exact(layer, plan),
            share=self._share([key]),
            sensitivity=gains.get(frozenset([key]), float("nan")),
        )


def _equalised(
    graph: Graph, layers: tuple[Layer, ...], windows: Sequence[NDArray[Any]]
) -> tuple[Graph, tuple[Layer, ...]]:
    largest = largest_by_channel(graph, layers, windows[:EQUALISED_BY])
    equal = graphs.read(equalise(graph, layers, largest))
    return equal, layers_of.find(equal)


def _without(plan: Scheme, keys: frozenset[str]) -> Scheme:
    biases = {k: v for k, v in plan.biases.items() if k not in keys}
    channels = {k: v for k, v in plan.channels.items() if k not in keys}
    return replace(plan, int8=plan.int8 - keys, biases=biases, channels=channels)


def _largest(histogram: Any) -> float:
    return max(abs(value) for value in minmax(histogram))


def _check(
    graph: Graph,
    layers: tuple[Layer, ...],
    windows: Sequence[NDArray[Any]],
    keep: frozenset[str],
) -> None:
    if not layers:
        raise NothingToQuantiseError(
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
