"""The arrays of each network: canonical names and shapes, in the order of the network.

OpenL3 has Keras' layout, kernels (height, width, in, out); the others have torch's, kernels
(out, in, height, width) and matrices (out, in).
"""

from __future__ import annotations

from edgeaudio_export.weights.importers.common import Layout, Shape

_OPENL3_CHANNELS = (1, 64, 64, 128, 128, 256, 256, 512, 512)
_NORM_ROLES = ("gamma", "beta", "moving_mean", "moving_variance")
_VGGISH_CONVOLUTIONS = {0: (1, 64), 3: (64, 128), 6: (128, 256), 8: (256, 256)} | {
    11: (256, 512),
    13: (512, 512),
}
_VGGISH_DENSE = {0: (6 * 4 * 512, 4096), 2: (4096, 4096), 4: (4096, 128)}
_KUMAR_CONVOLUTIONS = {
    1: (1, 16, 3),
    2: (16, 16, 3),
    4: (16, 32, 3),
    5: (32, 32, 3),
    7: (32, 64, 3),
    8: (64, 64, 3),
    10: (64, 128, 3),
    11: (128, 128, 3),
    13: (128, 256, 3),
    14: (256, 256, 3),
    16: (256, 512, 3),
    18: (512, 1024, 2),
}
_KUMAR_CLASSES = 527
_YAMNET_CHANNELS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
_YAMNET_CLASSES = 521


def _openl3() -> Layout:
    layout: dict[str, Shape] = {}
    for k, channels in enumerate(_OPENL3_CHANNELS[:-1], start=1):
        after = _OPENL3_CHANNELS[k]
        layout |= {f"batch_normalization_{k}/{role}": (channels,) for role in _NORM_ROLES}
        name = f"conv2d_{k}" if k < 8 else "audio_embedding_layer"
        layout |= {f"{name}/kernel": (3, 3, channels, after), f"{name}/bias": (after,)}
    return layout


def _vggish() -> Layout:
    layout: dict[str, Shape] = {}
    for k, (before, after) in _VGGISH_CONVOLUTIONS.items():
        layout[f"features.{k}.weight"] = (after, before, 3, 3)
        layout[f"features.{k}.bias"] = (after,)
    for k, (before, after) in _VGGISH_DENSE.items():
        layout[f"embeddings.{k}.weight"] = (after, before)
        layout[f"embeddings.{k}.bias"] = (after,)
    return layout


def _kumar() -> Layout:
    layout: dict[str, Shape] = {}
    for k, (before, after, size) in _KUMAR_CONVOLUTIONS.items():
        layout[f"layer{k}.0.weight"] = (after, before, size, size)
        layout[f"layer{k}.0.bias"] = (after,)
        roles = ("weight", "bias", "running_mean", "running_var")
        layout |= {f"layer{k}.1.{role}": (after,) for role in roles}
    layout["layer19.0.weight"] = (_KUMAR_CLASSES, 1024, 1, 1)
    layout["layer19.0.bias"] = (_KUMAR_CLASSES,)
    return layout


def _yamnet() -> Layout:
    first = _YAMNET_CHANNELS[0]
    layout: dict[str, Shape] = {"conv0.weight": (first, 1, 3, 3), "conv0.bias": (first,)}
    for k, after in enumerate(_YAMNET_CHANNELS[1:], start=1):
        before = _YAMNET_CHANNELS[k - 1]
        layout[f"block{k}.depthwise.weight"] = (before, 1, 3, 3)
        layout[f"block{k}.depthwise.bias"] = (before,)
        layout[f"block{k}.pointwise.weight"] = (after, before, 1, 1)
        layout[f"block{k}.pointwise.bias"] = (after,)
    layout["scores.weight"] = (_YAMNET_CLASSES, _YAMNET_CHANNELS[-1])
    layout["scores.bias"] = (_YAMNET_CLASSES,)
    return layout


OPENL3 = _openl3()
VGGISH = _vggish()
VGGISH_PCA: Layout = {"pca.eigenvectors": (128, 128), "pca.means": (128,)}
KUMAR = _kumar()
YAMNET = _yamnet()
