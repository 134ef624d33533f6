"""A small network that was never trained, on YAMNet's log-mel."""

from __future__ import annotations

import numpy as np
import onnx

from edgeaudio_export.extractors import Extractor
from edgeaudio_export.frontends import vggish
from edgeaudio_export.frontends.graph import add_spectrogram
from edgeaudio_export.graphs import GraphBuilder

DIMENSIONS = 32


def small_network() -> onnx.ModelProto:
    """Log-mel `in` [N, 96, 64] to `out` [N, 32]."""
    b = GraphBuilder()
    _add(b, "in", "out")
    return b.model("small", {"in": ["N", 96, 64]}, {"out": ["N", DIMENSIONS]})


def small_extractor() -> Extractor:
    """The same, from samples."""
    spec = vggish.spec(vggish.YAMNET_OFFSET)

    def build(input_type: int) -> onnx.ModelProto:
        b = GraphBuilder()
        _add(b, add_spectrogram(b, "pcm", spec), "embedding")
        outputs = {"embedding": ["N", DIMENSIONS]}
        return b.model("small", {"pcm": ["N", vggish.WINDOW]}, outputs, input_type)

    return Extractor(
        id="small",
        sample_rate=vggish.SAMPLE_RATE,
        window=vggish.WINDOW,
        hop=vggish.WINDOW // 2,
        dimensions=DIMENSIONS,
        digest="0" * 64,
        build=build,
        front_end=spec,
    )


def _add(b: GraphBuilder, log_mel: str, output: str) -> None:
    """Three convolutions and a mean."""
    rng = np.random.default_rng(4)
    x = b.add("Unsqueeze", b.add("Add", log_mel, b.constant(np.float32(3))), b.constant([1]))
    for inputs, outputs in ((1, 32), (32, 64), (64, DIMENSIONS)):
        weight = rng.normal(0, (2 / (9 * inputs)) ** 0.5, (outputs, inputs, 3, 3))
        values = [weight.astype(np.float32), np.full(outputs, 0.01, np.float32)]
        constants = [b.constant(value) for value in values]
        x = b.add("Relu", b.add("Conv", x, *constants, strides=[2, 2], pads=[1, 1, 1, 1]))
    b.add("ReduceMean", x, name=output, axes=[2, 3], keepdims=0)
