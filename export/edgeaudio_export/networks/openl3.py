"""OpenL3's audio network (Cramer et al. 2019; L3-Net's, Arandjelovic and Zisserman 2017).

A batch norm on the spectrogram; four stages of 3 x 3 convolutions (64, 128, 256, 512 channels,
two each) with batch norm and ReLU, maxima over 2 x 2 after the first three; the last
convolution is linear. The embedding is the maximum over blocks of its map, flattened as
(frequency, time, channel): one block for 512 values, 4 x 3 of them for 6144.
"""

from __future__ import annotations

import numpy as np

from edgeaudio_export.graphs import GraphBuilder
from edgeaudio_export.networks.layers import (
    Arrays,
    BatchNorm,
    add_channel,
    add_convolution,
    add_pool,
)

SIZES = (512, 6144)
EPSILON = 1e-3
CONVOLUTIONS = (*(f"conv2d_{i}" for i in range(1, 8)), "audio_embedding_layer")
_POOLED_AFTER = (2, 4, 6)
_MAPS = {"linear": (32, 24), "mel128": (16, 24), "mel256": (32, 24)}
_BLOCKS = {512: (1, 1), 6144: (4, 3)}


def add_network(
    b: GraphBuilder, spectrogram: str, arrays: Arrays, representation: str, size: int
) -> str:
    """From dB, float32 [N, frames, bins], to the embedding, [N, size].

    arrays: Keras layouts, `conv2d_1/kernel` [3, 3, in, out], `batch_normalization_1/gamma`, ...
    """
    x = add_channel(b, b.add("Transpose", spectrogram, perm=[0, 2, 1]))
    first = _norm(arrays, 1)
    # Kept apart: it precedes zero padding, so the convolution can't take it up.
    x = b.add("Mul", x, b.constant(first.scale.astype(np.float32), "input.scale"))
    x = b.add("Add", x, b.constant(first.shift.astype(np.float32), "input.shift"))
    for number, name in enumerate(CONVOLUTIONS, 1):
        last = number == len(CONVOLUTIONS)
        kernel = arrays[f"{name}/kernel"].transpose(3, 2, 0, 1)
        norm = None if last else _norm(arrays, number + 1)
        x = add_convolution(b, x, name, kernel, arrays[f"{name}/bias"], norm, pads=[1, 1, 1, 1])
        if not last:
            x = b.add("Relu", x)
        if number in _POOLED_AFTER:
            x = add_pool(b, x)
    (rows, columns), (down, across) = _MAPS[representation], _BLOCKS[size]
    x = add_pool(b, x, rows // down, columns // across)
    x = b.add("Transpose", x, perm=[0, 2, 3, 1])
    return b.add("Reshape", x, b.constant([0, size]))


def _norm(arrays: Arrays, number: int) -> BatchNorm:
    name = f"batch_normalization_{number}"
    parts = ("gamma", "beta", "moving_mean", "moving_variance")
    return BatchNorm.of(EPSILON, *(arrays[f"{name}/{part}"] for part in parts))
