"""VGGish (Hershey et al. 2017), as its torch port computes it.

Six 3 x 3 convolutions with ReLU (64, 128, 256, 256, 512, 512) and maxima over 2 x 2 after the
first, second, fourth and sixth; flattened as (time, mel, channel); dense 4096, 4096, 128.
"""

from __future__ import annotations

import numpy as np

from edgeaudio_export.graphs import GraphBuilder
from edgeaudio_export.networks.layers import (
    Arrays,
    add_channel,
    add_convolution,
    add_dense,
    add_pool,
)

ACTIVATIONS = ("relu", "preact")
POSTPROCESSES = ("none", "pca-round", "pca-truncate")
DIMENSIONS = 128
_POOLED_AFTER = (0, 3, 8, 13)
_CLIP = 2.0


def add_network(
    b: GraphBuilder, log_mel: str, arrays: Arrays, activation: str, postprocess: str
) -> str:
    """From log-mel, float32 [N, 96, 64], to the embedding, [N, 128].

    activation: `relu`, after the last ReLU (the torch port, and TensorFlow's code of 2017 to
    2019), or `preact`, before it (TensorFlow's later code). postprocess: `none`, or `pca-round`
    and `pca-truncate`: PCA and quantisation to 0..255 (as floats) in the torch port's and in
    TensorFlow's way. arrays: under the torch port's names; for PCA, `pca.eigenvectors` and
    `pca.means` as well.
    """
    x = add_channel(b, log_mel)
    for index in (0, 3, 6, 8, 11, 13):
        name = f"features.{index}"
        kernel, bias = arrays[f"{name}.weight"], arrays[f"{name}.bias"]
        x = b.add("Relu", add_convolution(b, x, name, kernel, bias, pads=[1, 1, 1, 1]))
        if index in _POOLED_AFTER:
            x = add_pool(b, x)
    x = b.add("Transpose", x, perm=[0, 2, 3, 1])
    x = b.add("Reshape", x, b.constant([0, 6 * 4 * 512]))
    for index in (0, 2, 4):
        name = f"embeddings.{index}"
        x = add_dense(b, x, name, arrays[f"{name}.weight"], arrays[f"{name}.bias"])
        if index < 4 or activation == "relu":
            x = b.add("Relu", x)
    return x if postprocess == "none" else _add_pca(b, x, arrays, postprocess)


def _add_pca(b: GraphBuilder, x: str, arrays: Arrays, postprocess: str) -> str:
    centred = b.add("Sub", x, b.constant(arrays["pca.means"].reshape(-1), "pca.means"))
    rotation = b.constant(arrays["pca.eigenvectors"].T.copy(), "pca.eigenvectors")
    rotated = b.add("MatMul", centred, rotation)
    limits = [b.constant(np.float32(limit)) for limit in (-_CLIP, _CLIP)]
    shifted = b.add("Add", b.add("Clip", rotated, *limits), b.constant(np.float32(_CLIP)))
    scaled = b.add("Mul", shifted, b.constant(np.float32(255 / (2 * _CLIP))))
    return b.add("Round" if postprocess == "pca-round" else "Floor", scaled)
