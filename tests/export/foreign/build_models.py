"""Models as others save them, with what they give: run in a process with TensorFlow.

    python build_models.py FOLDER

FOLDER holds `pcm.npy` [K, 4000] and `logmel.npy` [K, 96, 64]. Each model is written beside them,
and what its own framework gives for one of these as `<name>.npy`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf
import tf_keras

FOLDER = Path(sys.argv[1])
PCM, LOGMEL = np.load(FOLDER / "pcm.npy"), np.load(FOLDER / "logmel.npy")
K1_NAMES = {"kernel": "W", "bias": "b", "gamma": "gamma", "beta": "beta"}


def randomise(model):
    """Weights as if it had been trained: batch normalisation does something."""
    rng = np.random.default_rng(3)
    values = []
    for weight in model.weights:
        name, value = weight.name, np.asarray(weight)
        if "variance" in name:
            value = rng.uniform(0.3, 2, value.shape)
        elif "gamma" in name:
            value = rng.uniform(0.5, 1.5, value.shape)
        elif value.ndim == 1:
            value = rng.normal(0, 0.2, value.shape)
        values.append(value.astype(np.float32))
    model.set_weights(values)
    return model


def note(name, call, data):
    """Keep what a model gives."""
    rows = [np.asarray(call(row[None])).reshape(-1) for row in data]
    np.save(FOLDER / f"{name}.npy", np.stack(rows))


def raw(k):
    layers = k.layers
    return k.Sequential(
        [
            k.Input((4000, 1)),
            layers.Conv1D(8, 32, strides=8, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling1D(4),
            layers.Conv1D(12, 5, dilation_rate=2, padding="same"),
            layers.LeakyReLU(),
            layers.Dropout(0.3),
            layers.GlobalAveragePooling1D(name="pooled"),
            layers.Dense(5, activation="softmax", name="logits"),
        ]
    )


def residual(k):
    layers = k.layers
    source = k.Input((4000,))
    x = layers.Reshape((4000, 1))(source)
    x = layers.Conv1D(8, 64, 16, activation="gelu")(x)
    y = layers.Conv1D(8, 3, padding="causal")(x)
    x = layers.Add()([x, layers.PReLU(shared_axes=[1])(y)])
    pooled = [layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)]
    x = layers.Concatenate()(pooled)
    return k.Model(source, layers.Dense(6, activation="sigmoid")(x))


def image(k):
    layers = k.layers
    return k.Sequential(
        [
            k.Input((96, 64, 1)),
            layers.Conv2D(8, 3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ELU(),
            layers.SeparableConv2D(12, 3, activation="swish"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(10, activation="tanh", name="penultimate"),
            layers.Dense(4),
            layers.Softmax(),
        ]
    )


def recurrent(k):
    layers = k.layers
    return k.Sequential(
        [
            k.Input((96, 64)),
            layers.LSTM(10, return_sequences=True, recurrent_activation="hard_sigmoid"),
            layers.TimeDistributed(layers.Dense(6, activation="relu")),
            layers.Bidirectional(layers.GRU(5, reset_after=k is keras)),
            layers.Dense(4, activation="softmax"),
        ]
    )


def nested(k):
    layers = k.layers
    inner = k.Sequential(
        [
            k.Input((96, 64, 1)),
            layers.Conv2D(4, 3, activation="relu", name="convolution"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(name="pooled"),
        ],
        name="backbone",
    )
    source = k.Input((96, 64, 1))
    x = layers.Dense(7, activation="relu", name="embedding")(inner(source))
    return k.Model(source, layers.Dense(3, activation="softmax")(x))


def upright(k):
    """Frequency first, as OpenL3 has it, and the channels before both."""
    layers = k.layers
    source = k.Input((1, 64, 96))
    x = layers.Conv2D(4, 3, strides=2, data_format="channels_first")(source)
    x = layers.BatchNormalization(axis=1)(x)
    x = layers.GlobalMaxPooling2D(data_format="channels_first")(x)
    return k.Model(source, layers.Dense(3)(x))


def keras_models():
    for k, tag, suffixes in ((tf_keras, "keras2", ("h5",)), (keras, "keras3", ("h5", "keras"))):
        k.utils.set_random_seed(1)
        for build, data in (
            (raw, PCM[..., None]),
            (residual, PCM),
            (image, LOGMEL[..., None]),
            (recurrent, LOGMEL),
            (nested, LOGMEL[..., None]),
        ):
            name, model = f"{tag}-{build.__name__}", randomise(build(k))
            for suffix in suffixes:
                model.save(FOLDER / f"{name}.{suffix}")
            note(name, lambda x, m=model: m(x, training=False), data)
            if build is image and k is tf_keras:
                inner = k.Model(model.inputs, model.get_layer("penultimate").output)
                note("penultimate", inner, data)
            if build is nested and k is tf_keras:
                note("pooled", model.get_layer("backbone"), data)
    model = randomise(upright(tf_keras))
    model.save(FOLDER / "upright.h5")
    with tf.device("cpu"):
        run = tf.function(model, jit_compile=True)
        note("upright", run, LOGMEL.transpose(0, 2, 1)[:, None])


def keras_1():
    """What Keras 1.2 wrote: its own words for layers, and an LSTM in twelve pieces."""
    layers = tf_keras.layers
    model = randomise(
        tf_keras.Sequential(
            [
                layers.Input((96, 64)),
                layers.Conv1D(6, 5, strides=2, activation="relu", name="c"),
                layers.BatchNormalization(name="n"),
                layers.MaxPooling1D(2, name="m"),
                layers.LSTM(7, recurrent_activation="hard_sigmoid", name="l"),
                layers.Dense(4, activation="softmax", name="d"),
            ]
        )
    )
    note("keras1", lambda x: model(x, training=False), LOGMEL)
    convolution = {
        "name": "c",
        "nb_filter": 6,
        "filter_length": 5,
        "subsample_length": 2,
        "border_mode": "valid",
        "activation": "relu",
        "bias": True,
        "init": "glorot_uniform",
        "batch_input_shape": [None, 96, 64],
        "input_dim": 64,
        "input_length": 96,
        "W_regularizer": None,
    }
    lstm = {
        "name": "l",
        "output_dim": 7,
        "inner_activation": "hard_sigmoid",
        "activation": "tanh",
        "consume_less": "cpu",
        "return_sequences": False,
    }
    pool = {"name": "m", "pool_length": 2, "stride": 2, "border_mode": "valid"}
    config = [
        ("Convolution1D", convolution),
        ("BatchNormalization", {"name": "n", "mode": 0, "epsilon": 1e-3, "axis": -1}),
        ("MaxPooling1D", pool),
        ("LSTM", lstm),
        ("Dropout", {"name": "o", "p": 0.5}),
        ("Dense", {"name": "d", "output_dim": 4, "activation": "softmax", "bias": True}),
    ]
    weights = {one.name: [np.asarray(w) for w in one.weights] for one in model.layers}
    weights["c"][0] = weights["c"][0][:, None]
    kernel, recurrent_kernel, bias = weights["l"]
    parts = []
    for gate in (0, 2, 1, 3):  # i, c, f, o of i, f, c, o
        cut = slice(7 * gate, 7 * gate + 7)
        parts += [kernel[:, cut], recurrent_kernel[:, cut], bias[cut]]
    weights["l"] = parts
    with h5py.File(FOLDER / "keras1.h5", "w") as file:
        file.attrs["keras_version"] = b"1.2.2"
        entries = [{"class_name": name, "config": entry} for name, entry in config]
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Sequential", "config": entries}
        ).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [entry["name"].encode() for _, entry in config]
        for _, entry in config:
            inner = group.create_group(entry["name"])
            arrays = weights.get(entry["name"], [])
            names = [f"{entry['name']}_{i}".encode() for i in range(len(arrays))]
            inner.attrs["weight_names"] = names
            for name, array in zip(names, arrays, strict=True):
                inner[name.decode()] = array


class Outputs(tf.Module):
    """Its own spectrogram, any number of samples, and two outputs."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(0)
        self.weight = tf.Variable(rng.standard_normal((129, 10)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, samples):
        cells = tf.abs(tf.signal.stft(samples, 256, 128)) @ self.weight
        return {"mean": tf.reduce_mean(cells, 0), "max": tf.reduce_max(cells, 0)}


class Kapre(tf.Module):
    """As kapre does it: transposed between the transform and its magnitude."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, samples):
        return tf.reduce_mean(tf.abs(tf.transpose(tf.signal.stft(samples, 256, 128))), 1)


class Writer(tf.Module):
    """Would leave a file behind where it is run."""

    @tf.function(input_signature=[tf.TensorSpec([None, 4000], tf.float32)])
    def __call__(self, samples):
        tf.io.write_file(str(FOLDER / "written"), "here")
        return tf.reduce_mean(samples, 1, keepdims=True)


def saved_models():
    model = randomise(raw(tf_keras))
    model.save(FOLDER / "saved2", save_format="tf")
    note("saved2", lambda x: model(x, training=False), PCM[..., None])
    third = randomise(raw(keras))
    third.export(FOLDER / "saved3")
    note("saved3", lambda x: third(x, training=False), PCM[..., None])
    module = Outputs()
    tf.saved_model.save(module, FOLDER / "outputs")
    note("outputs", lambda x: module(tf.constant(x[0]))["max"], PCM)
    tf.saved_model.save(Kapre(), FOLDER / "kapre")
    tf.saved_model.save(Writer(), FOLDER / "writer")
    graph, v1 = tf.Graph(), tf.compat.v1
    with graph.as_default(), v1.Session() as session:
        source = v1.placeholder(tf.float32, [None, 4000], "wave")
        weight = v1.get_variable("weight", [4000, 7])
        result = tf.nn.relu(source @ weight, name="result")
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(FOLDER / "saved1"), {"a": source}, {"b": result})
        rows = [session.run(result, {source: row[None]})[0] for row in PCM]
    np.save(FOLDER / "saved1.npy", np.stack(rows))


def tflite_models():
    model = randomise(image(tf_keras))

    def convert(name, **settings):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        for key, value in settings.items():
            setattr(converter, key, value)
        (FOLDER / f"{name}.tflite").write_bytes(converter.convert())

    note("float", lambda x: model(x, training=False), LOGMEL[..., None])
    default = [tf.lite.Optimize.DEFAULT]
    convert("float")
    convert("dynamic", optimizations=default)
    half = tf.lite.TargetSpec(supported_types=[tf.float16])
    convert("half", optimizations=default, target_spec=half)
    samples = [[row[None, ..., None]] for row in LOGMEL]
    whole = tf.lite.TargetSpec(supported_ops=[tf.lite.OpsSet.TFLITE_BUILTINS_INT8])
    convert(
        "integer",
        optimizations=default,
        representative_dataset=lambda: samples,
        target_spec=whole,
    )
    function = tf.function(lambda x: x * tf.linalg.det(tf.reshape(x[:, :16], (1, 4, 4))))
    concrete = function.get_concrete_function(tf.TensorSpec([1, 4000], tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS,
        tf.lite.OpsSet.SELECT_TF_OPS,
    ]
    (FOLDER / "flex.tflite").write_bytes(converter.convert())


def hostile():
    layers = tf_keras.layers
    source = tf_keras.Input((4000,))
    mapped = layers.Lambda(lambda x: x * 2)(source)
    tf_keras.Model(source, layers.Dense(3)(mapped)).save(FOLDER / "lambda.h5")

    class Custom(layers.Layer):
        def call(self, x):
            return x

    tf_keras.Model(source, Custom()(source)).save(FOLDER / "custom.h5")
    raw(tf_keras).save_weights(FOLDER / "weights.weights.h5")
    state = tf_keras.Sequential([tf_keras.Input((96, 64), 1), layers.LSTM(3, stateful=True)])
    state.save(FOLDER / "stateful.h5")
    two = [tf_keras.Input((4000,)), tf_keras.Input((4000,))]
    tf_keras.Model(two, layers.Add()(two)).save(FOLDER / "two.h5")


if __name__ == "__main__":
    keras_models()
    keras_1()
    saved_models()
    tflite_models()
    hostile()
