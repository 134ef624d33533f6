"""What a network computes on windows: all that the quantiser must know, in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgeaudio.errors import EdgeAudioError
from edgeaudio.network import open_session
from edgeaudio.types import F32, F64
from edgeaudio_export.quantise import scheme
from edgeaudio_export.quantise.graph import OUTPUT, Graph
from edgeaudio_export.quantise.layers import Layer, channel_axis
from edgeaudio_export.quantise.ranges import Histogram
from edgeaudio_export.quantise.scheme import Channels

_MARGIN = 0.5
"""How much farther than seen a channel of the embedding may reach, on either side."""


@dataclass(frozen=True)
class Survey:
    """histograms: of observed tensors. means: of each layer's input, by channel, [in].

    multiplications: of each layer, for a window. channels: a scale for each channel of last
    layers. All but the first are by the tensor that the layer's node gives.
    """

    histograms: dict[str, Histogram]
    means: dict[str, NDArray[Any]]
    multiplications: dict[str, int]
    channels: dict[str, Channels]


def embeddings(model: onnx.ModelProto, windows: Iterable[NDArray[Any]]) -> F32:
    """The embeddings [windows, D] by `model`, a window at a time."""
    session = open_session(model.SerializeToString())
    name = model.graph.input[0].name
    rows: list[F32] = [session.run([OUTPUT], {name: window})[0][0] for window in windows]
    return np.stack(rows)


def centred_cosine(wanted: F32, found: F32) -> float:
    """Mean cosine between rows, the mean row of `wanted` subtracted from both.

    Embeddings have much in common whatever is heard; what tells sounds apart is the rest.
    """
    mean = wanted.astype(np.float64).mean(axis=0)
    a, b = wanted - mean, found - mean
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean((a * b).sum(axis=1) / np.maximum(lengths, 1e-30)))


def survey(graph: Graph, layers: tuple[Layer, ...], windows: Sequence[NDArray[Any]]) -> Survey:
    """Run `graph` on windows [1, ...] once. Memory: histograms, and one window's activations.

    Raises EdgeAudioError where the network gives values that are not finite.
    """
    watched = scheme.observed(graph, layers)
    ends = {layer.key: _end(graph, layer) for layer in _with_channels(graph, layers)}
    inputs = {layer.key: layer.input for layer in layers}
    outputs = [layer.key for layer in layers]
    every = dict.fromkeys([*watched, *ends.values(), *inputs.values(), *outputs])
    names = [name for name in every if name != graph.input]
    session = open_session(_showing(graph, names).SerializeToString())
    histograms = {name: Histogram() for name in watched}
    sums: dict[str, NDArray[Any]] = {}
    lows: dict[str, NDArray[Any]] = {}
    highs: dict[str, NDArray[Any]] = {}
    for window in windows:
        values = dict(zip(names, session.run(names, {graph.input: window}), strict=True))
        values[graph.input] = window
        _count(histograms, values)
        for layer in layers:
            key = layer.key
            mean = _by_channel(values[layer.input], channel_axis(layer)).mean(axis=1, dtype=float)
            sums[key] = sums.get(key, 0.0) + mean
        for key, end in ends.items():
            rows = _by_channel(values[end], 1)
            lows[key] = np.minimum(rows.min(axis=1), lows.get(key, np.inf))
            highs[key] = np.maximum(rows.max(axis=1), highs.get(key, -np.inf))
    return Survey(
        histograms=histograms,
        means={key: total / len(windows) for key, total in sums.items()},
        multiplications={layer.key: _cost(layer, values) for layer in layers},
        channels={key: _channels(lows[key], highs[key]) for key in ends},
    )


def largest_by_channel(
    graph: Graph, layers: tuple[Layer, ...], windows: Sequence[NDArray[Any]]
) -> dict[str, F64]:
    """Largest magnitudes [out] of the outputs of convolutions, by tensor."""
    names = [layer.output for layer in layers if layer.node.op_type == "Conv"]
    session = open_session(_showing(graph, names).SerializeToString())
    largest: dict[str, F64] = {}
    for window in windows:
        found = session.run(names, {graph.input: window}) if names else []
        for name, values in zip(names, found, strict=True):
            magnitude = np.abs(_by_channel(values, 1)).max(axis=1).astype(np.float64)
            largest[name] = np.maximum(magnitude, largest.get(name, 0.0))
    return largest


def _showing(graph: Graph, names: Iterable[str]) -> onnx.ModelProto:
    """The model with more outputs, all float32."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    there = {o.name for o in model.graph.output} | {graph.input}
    for name in names:
        if name not in there:
            value = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            model.graph.output.append(value)
    return model


def _count(histograms: dict[str, Histogram], values: dict[str, NDArray[Any]]) -> None:
    for name, histogram in histograms.items():
        try:
            histogram.add(values[name])
        except ValueError as error:
            raise EdgeAudioError(
                f"The network gives {error} ({name}) on a window to calibrate it with; "
                "it can't be quantised by that."
            ) from None


def _with_channels(graph: Graph, layers: tuple[Layer, ...]) -> list[Layer]:
    last = scheme.last_layers(graph, layers)
    return [layer for layer in last if layer.node.op_type == "Conv"]


def _end(graph: Graph, layer: Layer) -> str:
    """The layer's output, or the maxima over it: nothing lower than these must be told apart."""
    tensor = layer.output
    while (node := graph.only_reader(tensor)) is not None and node.op_type == "MaxPool":
        tensor = node.output[0]
    return tensor


def _by_channel(values: NDArray[Any], axis: int) -> NDArray[Any]:
    rows = np.moveaxis(values, axis, 0)
    return rows.reshape(len(rows), -1)


def _channels(low: NDArray[Any], high: NDArray[Any]) -> Channels:
    low, high = low.astype(np.float64), high.astype(np.float64)
    margin = _MARGIN * (high - low)
    # A ReLU gives no less than 0.
    low = np.where(low >= 0, np.maximum(low - margin, 0), low - margin)
    span = high + margin - low
    typical = float(np.median(span[span > 0])) if np.any(span > 0) else 1.0
    return Channels(step=np.maximum(span, 1e-3 * typical) / 255, low=low)


def _cost(layer: Layer, values: dict[str, NDArray[Any]]) -> int:
    each = layer.weight[0].size
    return int(values[layer.key].size) * int(each)
