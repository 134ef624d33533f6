"""OpenL3's audio network in Keras 2, with the layers that its own package has."""

from __future__ import annotations

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

# Channels of each stage's convolutions. The last one is linear, and has no batch norm.
STAGES = ((64, 64), (128, 128), (256, 256), (512, 512))
NORM = ("gamma", "beta", "moving_mean", "moving_variance")

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


def build(weights: dict[str, np.ndarray], shape: tuple[int, int], pool: list[int]):
    """A model from [N, bins, frames, 1] to [N, size]. shape: bins and frames."""
    found = tf_keras.Input((*shape, 1))
    x = layers.BatchNormalization(name="batch_normalization_1")(found)
    channels = [c for stage in STAGES for c in stage]
    for number, size in enumerate(channels, 1):
        last = number == len(channels)
        name = "audio_embedding_layer" if last else f"conv2d_{number}"
        x = layers.Conv2D(size, 3, padding="same", name=name)(x)
        if not last:
            x = layers.BatchNormalization(name=f"batch_normalization_{number + 1}")(x)
            x = layers.Activation("relu")(x)
            if number % 2 == 0:
                x = layers.MaxPooling2D(2, strides=2)(x)
    x = layers.MaxPooling2D(tuple(pool), padding="same")(x)
    model = tf_keras.Model(found, layers.Flatten()(x))
    for layer in model.layers:
        if layer.weights:
            parts = NORM if "normalization" in layer.name else ("kernel", "bias")
            layer.set_weights([weights[f"{layer.name}/{part}"] for part in parts])
    return model


def as_images(spectrograms: np.ndarray) -> np.ndarray:
    """[N, frames, bins] -> [N, 1, bins, frames, 1], a batch each."""
    return np.ascontiguousarray(spectrograms.transpose(0, 2, 1)[:, None, :, :, None])
