"""OpenL3 in torch, as it is written: no compilation, nothing folded. For torch's environment."""

from __future__ import annotations

import numpy as np
import protocol
import torch
from torch import nn

CHANNELS = (1, 64, 64, 128, 128, 256, 256, 512, 512)
EPSILON = 1e-3  # Keras's
NORM = ("gamma", "beta", "moving_mean", "moving_variance")


class Flatten(nn.Module):
    """As Keras does it: channels last."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


def norm(weights: dict[str, np.ndarray], number: int) -> nn.Module:
    values = (weights[f"batch_normalization_{number}/{part}"] for part in NORM)
    found = nn.BatchNorm2d(CHANNELS[number - 1], eps=EPSILON)
    parts = (found.weight, found.bias, found.running_mean, found.running_var)
    for into, value in zip(parts, values, strict=True):
        into.data.copy_(torch.from_numpy(value))
    return found


def convolution(weights: dict[str, np.ndarray], number: int) -> nn.Module:
    name = f"conv2d_{number}" if number < 8 else "audio_embedding_layer"
    found = nn.Conv2d(CHANNELS[number - 1], CHANNELS[number], 3, padding=1)
    kernel = np.ascontiguousarray(weights[f"{name}/kernel"].transpose(3, 2, 0, 1))
    found.weight.data.copy_(torch.from_numpy(kernel))
    found.bias.data.copy_(torch.from_numpy(weights[f"{name}/bias"]))
    return found


def build(weights: dict[str, np.ndarray], pool: list[int]) -> nn.Module:
    layers = [norm(weights, 1)]
    for number in range(1, 8):
        layers += [convolution(weights, number), norm(weights, number + 1), nn.ReLU()]
        if number % 2 == 0:
            layers.append(nn.MaxPool2d(2))
    layers += [convolution(weights, 8), nn.MaxPool2d(tuple(pool)), Flatten()]
    return nn.Sequential(*layers).eval()


torch.set_num_threads(1)
torch.set_num_interop_threads(1)
network = build(protocol.weights(), protocol.job()["pool"])
images = np.ascontiguousarray(protocol.spectrograms().transpose(0, 2, 1)[:, None, None])


def run(x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(x)).numpy()


protocol.serve({"run": (run, images)}, f"torch {torch.__version__}")
