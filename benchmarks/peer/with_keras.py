"""OpenL3 in Keras, run in the ways that Keras has. For TensorFlow's environment."""

from __future__ import annotations

import keras_network
import numpy as np
import protocol

job, inputs = protocol.job(), keras_network.as_images(protocol.spectrograms())
model = keras_network.build(protocol.weights(), inputs.shape[2:4], job["pool"])
tf, tf_keras = keras_network.tf, keras_network.tf_keras


def predict(x: np.ndarray) -> np.ndarray:
    return model.predict(x, verbose=0)


ways = {
    "predict": (predict, inputs),
    "predict-all": (predict, inputs.swapaxes(0, 1)),
    "predict-on-batch": (model.predict_on_batch, inputs),
}
protocol.serve(ways, f"TensorFlow {tf.__version__}, tf_keras {tf_keras.__version__}")
