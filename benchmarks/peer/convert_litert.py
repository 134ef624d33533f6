"""OpenL3 in Keras to two LiteRT files in the folder. For TensorFlow's environment.

`float.tflite`, and `int8.tflite`: all operators in int8, with ranges from `calibration.npy`
(float32 [N, frames, bins]); input and output stay float32.
"""

from __future__ import annotations

import keras_network
import numpy as np
import protocol

tf = keras_network.tf
windows = keras_network.as_images(np.load(protocol.FOLDER / "calibration.npy"))
pool = protocol.job()["pool"]
model = keras_network.build(protocol.weights(), windows.shape[2:4], pool)


@tf.function(input_signature=[tf.TensorSpec(windows.shape[1:], tf.float32)])
def network(spectrogram):
    return model(spectrogram, training=False)


def convert(*, quantize: bool) -> bytes:
    functions = [network.get_concrete_function()]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(functions, model)
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([window] for window in windows)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return converter.convert()


(protocol.FOLDER / "float.tflite").write_bytes(convert(quantize=False))
(protocol.FOLDER / "int8.tflite").write_bytes(convert(quantize=True))
