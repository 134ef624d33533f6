"""A network to int8: how it is calibrated, and which layers stay in float, is measured."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx
from numpy.typing import NDArray

from edgeaudio.errors import NothingToQuantiseError
from edgeaudio_export.quantise import exact, outcome, scheme
from edgeaudio_export.quantise.check import check
from edgeaudio_export.quantise.equalise import pairs
from edgeaudio_export.quantise.ranges import METHODS, Range
from edgeaudio_export.quantise.results import Quantised, QuantisedLayer
from edgeaudio_export.quantise.rounding import corrected_bias, exact_grid
from edgeaudio_export.quantise.scheme import Scheme
from edgeaudio_export.quantise.subject import Progress, Subject
from edgeaudio_export.quantise.survey import centred_cosine, embeddings
from edgeaudio_export.quantise.targets import get_target

AIM = 0.99
FIRST_SHARE = 0.1
"""Largest share of the multiplications of a first layer that stays in float."""

LEAST_GAIN = 1e-4
"""In centred cosine, for which a layer returns to float."""

SCAN_MULTIPLICATIONS = 2e12
"""That the scan layer by layer may cost; it takes fewer windows where it would cost more."""

CORRECTION_COST = 0.3
"""Part of what is lost of the cosine that correcting the embedding may cost, on few windows.

It brings each value closer by its own measure, which a head that scales its features depends on;
the cosine, in which large values count most, hardly sees that (YAMNet, ESC-10, five folds: error
in units of each value's spread down in all, cosine up in two and down in three by 0.006 at most).
"""

Gains = dict[frozenset[str], float]
"""Centred cosine by the layers, told apart by the tensors that their nodes give."""


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
    that stay in float; where the grid on which their sums are exact would be coarser than int8,
    they are in plain float32. aim: centred cosine below which small layers return to float.

    The first layer stays in float, on a grid where its sums are exact. Raises EdgeAudioError
    for an unknown target or layer, too few windows, a network without a layer for int8, and
    where ONNX Runtime computes in floats what was written in int8.
    """
    subject = Subject.of(network, windows, get_target(target), frozenset(keep), progress)
    trials = _methods(subject)
    best = max(trials.values(), key=lambda trial: trial.cosine)
    best = _refined(subject, _corrected(subject, best), aim)
    gains = _scan(subject, best)
    best = _returned(subject, best, gains, aim)
    return _result(subject, best, gains, {name: t.cosine for name, t in trials.items()})


@dataclass(frozen=True)
class _Trial:
    plan: Scheme
    method: str
    cosine: float
    ranges: dict[str, Range]


def _methods(subject: Subject) -> dict[str, _Trial]:
    """Each method of calibration for all tensors, with all layers in int8 that can be."""
    int8, largest = _all_int8(subject), subject.largest()
    trials = {}
    for name, method in METHODS.items():
        subject.progress(f"calibrating by {name}")
        kept_ranges = {n: method(h) for n, h in subject.found.histograms.items()}
        plan = Scheme(
            target=subject.target,
            scales=scheme.scales(subject.graph, kept_ranges),
            largest=largest,
            int8=int8,
            channels=subject.found.channels,
        )
        trials[name] = _Trial(plan, name, subject.cosine(plan), kept_ranges)
    return trials


def _all_int8(subject: Subject) -> frozenset[str]:
    """All but the first layers, where those can be exact in float and cost little there."""
    bare = Scheme(subject.target, {}, subject.largest(), frozenset())
    first = {
        x.key
        for x in subject.layers
        if x.first
        and subject.share([x.key]) <= FIRST_SHARE
        and exact_grid(subject.graph, x, bare, integers=False).bits >= exact.LEAST_BITS
    }
    int8 = frozenset(x.key for x in subject.layers) - subject.kept - first
    if not int8:
        raise NothingToQuantiseError(
            "Nothing of this network is left to quantise: all its layers stay in float "
            f"({', '.join(x.name for x in subject.layers[:5])})."
        )
    return int8


def _refined(subject: Subject, trial: _Trial, aim: float) -> _Trial:
    """With another method for single tensors, where that comes closer."""
    for tensor, histogram in subject.found.histograms.items():
        if trial.cosine >= aim:
            break
        subject.progress(f"calibrating {tensor}")
        for method in METHODS.values():
            ranges = trial.ranges | {tensor: method(histogram)}
            scales = scheme.scales(subject.graph, ranges)
            if scales == trial.plan.scales:
                continue
            plan = replace(trial.plan, scales=scales)
            cosine = subject.cosine(plan)
            if cosine > trial.cosine + LEAST_GAIN:
                trial = replace(trial, plan=plan, cosine=cosine, ranges=ranges)
    return trial


def _corrected(subject: Subject, trial: _Trial) -> _Trial:
    """With biases that make up for the mean of what rounding the weights does, if better."""
    subject.progress("correcting biases")
    means = subject.found.means
    biases = {
        x.key: corrected_bias(subject.graph, x, trial.plan, means[x.key])
        for x in subject.layers
        if x.key in trial.plan.int8
    }
    plan = replace(trial.plan, biases=biases)
    cosine = subject.cosine(plan)
    return replace(trial, plan=plan, cosine=cosine) if cosine > trial.cosine else trial


def _scan(subject: Subject, trial: _Trial) -> Gains:
    """What leaving layers alone in float wins: one at a time, and two in a row.

    Two in a row are needed where it is the tensor between them that 8 bits are too few for.
    """
    macs = sum(subject.found.multiplications.values())
    count = int(SCAN_MULTIPLICATIONS / max(1, macs * len(subject.layers)))
    held = subject.held[: max(4, count)]
    base = subject.cosine(trial.plan, held)
    gains = {}
    for keys in _candidates(subject, trial.plan):
        subject.progress(f"measuring what int8 costs in {subject.names(keys)}")
        gains[keys] = subject.cosine(_without(trial.plan, keys), held) - base
    return gains


def _candidates(subject: Subject, plan: Scheme) -> list[frozenset[str]]:
    alone = [frozenset([x.key]) for x in subject.layers if x.key in plan.int8]
    both = [
        frozenset([first.key, second.key])
        for first, second in pairs(subject.graph, subject.layers)
        if plan.int8 >= {first.key, second.key}
    ]
    small = [keys for keys in both if subject.fits(keys, 0.0, 0.0)]
    return [keys for keys in alone + small if keys < plan.int8]


def _returned(subject: Subject, trial: _Trial, gains: Gains, aim: float) -> _Trial:
    """With small layers back in float, the costliest first, until `aim` is reached."""
    spent, weights = 0.0, 0.0
    inexact = subject.write(trial.plan).inexact
    for keys in sorted(gains, key=lambda k: -gains[k]):
        if trial.cosine >= aim or gains[keys] <= 0:
            break
        rest = keys & trial.plan.int8
        plan = _without(trial.plan, keys)
        if not rest or not plan.int8 or not subject.fits(rest, spent, weights):
            continue
        if subject.write(plan).inexact - inexact:
            continue
        subject.progress(f"returning {subject.names(keys)}")
        cosine = subject.cosine(plan)
        if cosine > trial.cosine + LEAST_GAIN:
            trial = replace(trial, plan=plan, cosine=cosine)
            spent, weights = spent + subject.share(rest), weights + subject.weights(rest)
    return trial


def _result(subject: Subject, trial: _Trial, gains: Gains, methods: dict[str, float]) -> Quantised:
    """The model as planned, checked."""
    subject.progress("checking what ONNX Runtime makes of it")
    written = subject.write(trial.plan)
    model, cosine = _finished(subject, trial, written.model)
    onnx.checker.check_model(model, full_check=True)
    names = {x.key: x.name for x in subject.layers}
    weights = {f"{key}.weight.integers": names[key] for key in trial.plan.int8}
    return Quantised(
        model=model,
        target=subject.target.name,
        method=trial.method,
        layers=_described(subject, trial.plan, written.inexact, gains),
        operators=check(model, weights),
        cosine=cosine,
        methods=methods,
        corrected=bool(trial.plan.biases),
    )


def _finished(
    subject: Subject, trial: _Trial, model: onnx.ModelProto
) -> tuple[onnx.ModelProto, float]:
    """The model, with its embedding corrected if that comes closer, and its cosine."""
    if not outcome.applies(model):
        return model, trial.cosine
    correction = outcome.fit(subject.calibrated, embeddings(model, subject.windows))
    found = correction.apply(embeddings(model, subject.held))
    cosine = centred_cosine(subject.wanted, found)
    if cosine < trial.cosine - CORRECTION_COST * (1 - trial.cosine):
        return model, trial.cosine
    return outcome.add(model, correction), cosine


def _described(
    subject: Subject, plan: Scheme, inexact: frozenset[str], gains: Gains
) -> tuple[QuantisedLayer, ...]:
    return tuple(
        QuantisedLayer(
            name=layer.name,
            operator=layer.operator,
            arithmetic="int8" if layer.key in plan.int8 else "float",
            exact=layer.key not in inexact,
            share=subject.share([layer.key]),
            sensitivity=gains.get(frozenset([layer.key]), float("nan")),
        )
        for layer in subject.layers
    )


def _without(plan: Scheme, keys: frozenset[str]) -> Scheme:
    biases = {k: v for k, v in plan.biases.items() if k not in keys}
    channels = {k: v for k, v in plan.channels.items() if k not in keys}
    return replace(plan, int8=plan.int8 - keys, biases=biases, channels=channels)
