"""YAMNet: a MobileNet v1 for AudioSet (Google; Howard et al. 2017).

A 3 x 3 convolution of stride 2 to 32 channels, then 13 blocks of a depthwise 3 x 3 and a
pointwise convolution, all with ReLU and batch norm folded in. The embedding is the mean over
time and frequency, [1024]; the scores are a dense layer on it with sigmoid, [521].
"""

from __future__ import annotations

from typing import Any

from edgeaudio_export.graphs import GraphBuilder
from edgeaudio_export.networks.layers import Arrays, add_channel, add_convolution, add_dense

OUTPUTS = ("embedding", "scores")
DIMENSIONS = {"embedding": 1024, "scores": 521}
BLOCKS = 13
_STRIDE_TWO = (2, 4, 6, 12)


def add_network(b: GraphBuilder, log_mel: str, arrays: Arrays, output: str) -> str:
    """From log-mel, float32 [N, 96, 64], to the embedding, [N, 1024], or the scores, [N, 521].

    arrays: `conv0.weight` [32, 1, 3, 3], `block1.depthwise.weight` [32, 1, 3, 3],
    `block1.pointwise.weight` [64, 32, 1, 1], ..., `scores.weight` [521, 1024], and biases.
    """
    x = _add(b, add_channel(b, log_mel), "conv0", arrays, stride=2)
    for number in range(1, BLOCKS + 1):
        name = f"block{number}.depthwise"
        groups = len(arrays[f"{name}.weight"])
        stride = 2 if number in _STRIDE_TWO else 1
        x = _add(b, x, name, arrays, stride=stride, group=groups)
        x = _add(b, x, f"block{number}.pointwise", arrays, stride=1)
    mean = b.add("ReduceMean", x, axes=[2, 3], keepdims=0)
    if output == "embedding":
        return mean
    dense = add_dense(b, mean, "scores", arrays["scores.weight"], arrays["scores.bias"])
    return b.add("Sigmoid", dense)


def _add(
    b: GraphBuilder, x: str, name: str, arrays: Arrays, *, stride: int, **attributes: Any
) -> str:
    kernel, bias = arrays[f"{name}.weight"], arrays[f"{name}.bias"]
    # TensorFlow's "SAME": where one column too many is added, it comes last.
    attributes |= {"strides": [stride, stride], "auto_pad": "SAME_UPPER"}
    return b.add("Relu", add_convolution(b, x, name, kernel, bias, **attributes))
