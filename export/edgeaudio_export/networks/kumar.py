"""Kumar's network (Kumar et al. 2018, weak_feature_extractor).

Eleven 3 x 3 convolutions with batch norm and ReLU (16, 16, 32, 32, 64, 64, 128, 128, 256, 256,
512), maxima over 2 x 2 after every second one and after the last; a 2 x 2 convolution without
padding to 1024 (`layer18`), which gives one column for each segment of 128 frames, 64 apart;
a 1 x 1 convolution to 527 AudioSet classes with sigmoid (`layer19`).
"""

from __future__ import annotations

from edgeaudio_export.graphs import GraphBuilder
from edgeaudio_export.networks.layers import (
    Arrays,
    BatchNorm,
    add_channel,
    add_convolution,
    add_pool,
)

OUTPUTS = ("layer18", "layer19")
DIMENSIONS = {"layer18": 1024, "layer19": 527}
EPSILON = 1e-5
_CONVOLUTIONS = (1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16)
_POOLED_AFTER = (2, 5, 8, 11, 14, 16)


def add_columns(b: GraphBuilder, log_mel: str, arrays: Arrays, output: str) -> str:
    """From log-mel, float32 [N, T, 128], to one vector a segment: [N, D, T // 64 - 1].

    arrays: under torch's names, `layer1.0.weight` (convolution), `layer1.1.running_mean`, ...
    """
    x = add_channel(b, log_mel)
    for number in _CONVOLUTIONS:
        x = _add_layer(b, x, arrays, number, pads=[1, 1, 1, 1])
        if number in _POOLED_AFTER:
            x = add_pool(b, x)
    x = _add_layer(b, x, arrays, 18)
    if output == "layer19":
        kernel, bias = arrays["layer19.0.weight"], arrays["layer19.0.bias"]
        x = b.add("Sigmoid", add_convolution(b, x, "layer19", kernel, bias))
    return b.add("Squeeze", x, b.constant([3]))


def add_network(b: GraphBuilder, log_mel: str, arrays: Arrays, output: str) -> str:
    """From the log-mel of one segment, [N, 128, 128], to its vector, [N, D]."""
    return b.add("Squeeze", add_columns(b, log_mel, arrays, output), b.constant([2]))


def _add_layer(
    b: GraphBuilder, x: str, arrays: Arrays, number: int, pads: list[int] | None = None
) -> str:
    name = f"layer{number}"
    parts = ("weight", "bias", "running_mean", "running_var")
    norm = BatchNorm.of(EPSILON, *(arrays[f"{name}.1.{part}"] for part in parts))
    kernel, bias = arrays[f"{name}.0.weight"], arrays[f"{name}.0.bias"]
    pads = pads or [0, 0, 0, 0]
    return b.add("Relu", add_convolution(b, x, name, kernel, bias, norm, pads=pads))
