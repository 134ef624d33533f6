"""What a layer's weights become: int8 in steps, or float32 on a grid where sums are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio_export.quantise import exact, scheme
from edgeaudio_export.quantise.graph import Graph
from edgeaudio_export.quantise.layers import Layer
from edgeaudio_export.quantise.scheme import Scheme

_LARGEST_BIAS = 2.0**30


def weights_int8(
    layer: Layer, bias: NDArray[Any], input_step: float, limit: int
) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.int32]]:
    """Weights [out, ...] in int8 up to `limit`, their steps [out], and the bias [out] in int32.

    Where a bias is so large beside its channel's weights that it would not fit, they get a
    larger step.
    """
    flat = np.abs(layer.weight.reshape(len(layer.weight), -1)).max(axis=1)
    least = np.abs(bias) / (_LARGEST_BIAS * input_step)
    steps = np.maximum(flat / limit, np.maximum(least, 1e-30)).astype(np.float32)
    wide = steps.astype(np.float64)
    whole = np.rint(layer.weight / wide.reshape(-1, *[1] * (layer.weight.ndim - 1)))
    offsets = np.rint(bias / (wide * input_step))
    return np.clip(whole, -limit, limit).astype(np.int8), steps, offsets.astype(np.int32)


def corrected_bias(graph: Graph, layer: Layer, plan: Scheme, means: NDArray[Any]) -> NDArray[Any]:
    """The bias [out] less what rounding the weights adds to the mean of each channel.

    means: of the layer's input, by channel, [in].
    """
    step = plan.scales[scheme.root(graph, layer.input)].step
    whole, steps, _ = weights_int8(layer, layer.bias, step, plan.target.weight_limit)
    shape = (-1, *[1] * (layer.weight.ndim - 1))
    error = whole * steps.astype(np.float64).reshape(shape) - layer.weight
    taps = error.reshape(*error.shape[:2], -1).sum(axis=2)
    groups = len(means) // taps.shape[1]
    by_group = means.reshape(groups, -1)[np.arange(len(taps)) * groups // len(taps)]
    return np.asarray(layer.bias - (taps * by_group).sum(axis=1))


def exact_grid(graph: Graph, layer: Layer, plan: Scheme, *, integers: bool) -> exact.Grid:
    """The grid that `layer` would be exact on. integers: its input is uint8 already."""
    unit, limit = exact_input(graph, layer, plan, integers=integers)
    bias = plan.biases.get(layer.key, layer.bias)
    return exact.on_grid(layer.weight, bias, limit, unit)


def exact_input(graph: Graph, layer: Layer, plan: Scheme, *, integers: bool) -> tuple[float, int]:
    """What an input of 1 stands for, and how large its integers get, if they are exact."""
    source = scheme.root(graph, layer.input)
    if integers:
        scale = plan.scales[source]
        return scale.step, max(scale.zero, 255 - scale.zero)
    return exact.input_step(plan.largest[source])
