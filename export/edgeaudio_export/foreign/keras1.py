"""Descriptions of layers as Keras 1 wrote them (before March 2017), in the words of Keras 2.

Weights need no translation here: Keras 2 reorders those of Keras 1 when it reads them.
"""

from __future__ import annotations

from typing import Any

from edgeaudio_export.foreign.request import Refused

Config = dict[str, Any]

# Of Keras 1 only, so they tell where the version is not noted.
_MARKS = frozenset({"output_dim", "nb_filter", "border_mode", "dim_ordering", "inner_activation"})

_CLASSES = {
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "SeparableConvolution2D": "SeparableConv2D",
    "TimeDistributedDense": "Dense",
}
_RENAMED = {
    "output_dim": "units",
    "nb_filter": "filters",
    "bias": "use_bias",
    "border_mode": "padding",
    "subsample": "strides",
    "subsample_length": "strides",
    "filter_length": "kernel_size",
    "atrous_rate": "dilation_rate",
    "inner_activation": "recurrent_activation",
    "pool_length": "pool_size",
    "stride": "strides",
    "p": "rate",
    "sigma": "stddev",
    "length": "size",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
}
_KEPT = frozenset(
    [
        "name",
        "trainable",
        "batch_input_shape",
        "activation",
        "strides",
        "pool_size",
        "epsilon",
        "axis",
        "momentum",
        "return_sequences",
        "go_backwards",
        "stateful",
        "unroll",
        "merge_mode",
        "target_shape",
        "dims",
        "n",
        "alpha",
        "theta",
        "shared_axes",
        "padding",
        "cropping",
        "size",
        "mask_value",
        "depth_multiplier",
        "sparse",
        "noise_shape",
    ]
)
_MERGES = {
    "sum": "Add",
    "mul": "Multiply",
    "ave": "Average",
    "max": "Maximum",
    "concat": "Concatenate",
}
_GONE = ("Deconvolution2D", "Highway", "MaxoutDense", "ParametricSoftplus", "SReLU")


def is_keras_1(config: Config, version: str) -> bool:
    """Whether Keras 1 wrote this. version: as noted in the file, empty where it is not."""
    return version.startswith("1.") or (not version and _has_marks(config))


def translated(config: Config) -> Config:
    """The description of a model in the words of Keras 2. Raises Refused."""
    if config["class_name"] == "Sequential":
        layers = config["config"]
        if not isinstance(layers, list):
            raise Refused("the description of its layers is not one that Keras 1 writes")
        return {"class_name": "Sequential", "config": [_layer(layer) for layer in layers]}
    inner = dict(config["config"])
    inner["layers"] = [_layer(layer) for layer in inner["layers"]]
    return {"class_name": "Model", "config": inner}


def _layer(layer: Config) -> Config:
    if layer["class_name"] in ("Sequential", "Model"):
        new = translated(layer)
    elif layer["class_name"] in _GONE:
        raise Refused(f"it has a {layer['class_name']} layer, which went away with Keras 1")
    elif layer["class_name"] == "Merge":
        new = _merge(layer["config"])
    else:
        new = _plain(layer["class_name"], layer["config"])
    return {k: v for k, v in layer.items() if k not in ("class_name", "config")} | new


def _plain(kind: str, old: Config) -> Config:
    new = {key: old[key] for key in _KEPT & old.keys()}
    new |= {_RENAMED[key]: old[key] for key in _RENAMED.keys() & old.keys()}
    if old.get("dim_ordering") == "th":
        raise Refused(
            "it has its channels first, as Theano had; which way its kernels are turned depends "
            "on where it was trained, so save it once more with Keras 2 and TensorFlow"
        )
    if "dim_ordering" in old:
        new["data_format"] = "channels_last"
    if "nb_row" in old:
        new["kernel_size"] = [old["nb_row"], old["nb_col"]]
    if kind == "Embedding":
        new |= {"input_dim": old["input_dim"], "output_dim": new.pop("units")}
    if kind == "BatchNormalization" and old.get("mode", 0) != 0:
        raise Refused(f"it normalises batches in mode {old['mode']}, which went away with Keras 1")
    if kind == "GRU":
        new["reset_after"] = False
    if "layer" in old:
        new["layer"] = _layer(old["layer"])
    return {"class_name": _CLASSES.get(kind, kind), "config": new}


def _merge(old: Config) -> Config:
    mode = old.get("mode")
    if old.get("mode_type", "raw") != "raw" or mode not in _MERGES:
        raise Refused(f"it merges layers in the mode {str(mode)[:40]!r}, which is not taken")
    new = {"name": old["name"]}
    if mode == "concat":
        new["axis"] = old.get("concat_axis", -1)
    return {"class_name": _MERGES[mode], "config": new}


def _has_marks(value: Any) -> bool:
    if isinstance(value, dict):
        embedding = value.get("class_name") == "Embedding"  # says output_dim to this day
        return (bool(_MARKS & value.keys())) or (
            not embedding and any(_has_marks(v) for v in value.values())
        )
    return isinstance(value, list) and any(_has_marks(v) for v in value)
