"""What a Keras model says it is made of, read before Keras does: its own layers alone are taken.

Keras makes an object of whatever class a file names. Most ways to misuse that are closed in
recent versions; here nothing is looked up that is not on the list.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from edgeaudio_export.foreign.request import Refused

MAX_DEPTH = 200
_MAX_TEXT = 50_000_000

_LAYERS = """
Model Functional Sequential InputLayer
Dense EinsumDense Embedding Activation Softmax ReLU LeakyReLU PReLU ELU ThresholdedReLU
Conv1D Conv2D Conv3D Convolution1D Convolution2D Convolution3D
Conv1DTranspose Conv2DTranspose Conv3DTranspose
SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D
DepthwiseConv1D DepthwiseConv2D LocallyConnected1D LocallyConnected2D
MaxPooling1D MaxPooling2D MaxPooling3D MaxPool1D MaxPool2D MaxPool3D
AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D
AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveMaxPooling1D AdaptiveMaxPooling2D
GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D
GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D
RNN LSTM GRU SimpleRNN LSTMCell GRUCell SimpleRNNCell StackedRNNCells CuDNNLSTM CuDNNGRU
ConvLSTM1D ConvLSTM2D ConvLSTM3D Bidirectional TimeDistributed
BatchNormalization BatchNormalizationV1 BatchNormalizationV2 SyncBatchNormalization
LayerNormalization GroupNormalization UnitNormalization RMSNormalization SpectralNormalization
Normalization Rescaling Resizing CenterCrop
Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianNoise GaussianDropout
AlphaDropout ActivityRegularization Masking Identity
RandomFlip RandomRotation RandomTranslation RandomZoom RandomContrast RandomBrightness RandomCrop
RandomHeight RandomWidth
Attention AdditiveAttention MultiHeadAttention GroupQueryAttention
Add Subtract Multiply Average Maximum Minimum Concatenate Dot
Flatten Reshape Permute RepeatVector
Cropping1D Cropping2D Cropping3D UpSampling1D UpSampling2D UpSampling3D
ZeroPadding1D ZeroPadding2D ZeroPadding3D STFTSpectrogram MelSpectrogram
"""
_PARTS = """
Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal
LecunUniform Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform STFT STFTInitializer
TruncatedNormal VarianceScaling Zeros
L1 L1L2 L2 OrthogonalRegularizer
MaxNorm MinMaxNorm NonNeg UnitNorm RadialConstraint
Policy DTypePolicy FloatDTypePolicy
TensorShape __tuple__ __tensor__ __numpy__ __keras_tensor__ __ellipsis__ __slice__
"""
# Of Keras 1, translated in `keras1`.
_KERAS_1 = """
Merge Deconvolution2D AtrousConvolution1D AtrousConvolution2D TimeDistributedDense Highway
MaxoutDense ParametricSoftplus SReLU
"""
CLASSES = frozenset((_LAYERS + _PARTS + _KERAS_1).split())

_ACTIVATION_NAMES = """
celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu
linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus
softsign sparse_plus sparsemax squareplus swish tanh tanh_shrink
"""
ACTIVATIONS = frozenset(_ACTIVATION_NAMES.split())

# Functions of TensorFlow that tf.keras writes as layers, where a model calls them by itself.
_TF_ROOMS = ("math.", "nn.", "signal.", "linalg.", "__operators__.", "keras.activations.")
_TF_FUNCTION_NAMES = """
reshape expand_dims squeeze transpose concat cast stack unstack identity clip_by_value where
split tile pad one_hot zeros_like ones_like convert_to_tensor reverse gather slice strided_slice
shape image.resize compat.v1.transpose compat.v1.shape compat.v1.squeeze compat.v1.expand_dims
"""
_TF_FUNCTIONS = frozenset(_TF_FUNCTION_NAMES.split())
_PACKAGES = ("keras", "tf_keras", "builtins", "tensorflow")
_NOT_LOADED = frozenset({"compile_config", "training_config"})

_HINT = (
    "if it makes a spectrogram, save the network behind the log-mel and import it with a front-end"
)


def parse_config(text: str | bytes) -> dict[str, Any]:
    """The JSON of a model, each object in it checked. Raises Refused."""
    if len(text) > _MAX_TEXT:
        raise Refused(f"the description of its layers takes {len(text)} bytes")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        raise Refused("the description of its layers is no JSON") from None
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise Refused("the description of its layers is not one that Keras writes")
    for entry in _objects(config, 0):
        _check(entry)
    return config


def _objects(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    """Each dictionary that names a class or a module."""
    if depth > MAX_DEPTH:
        raise Refused("the description of its layers is nested too deep")
    if isinstance(value, dict):
        if {"class_name", "module", "registered_name"} & value.keys():
            yield value
        for key, inner in value.items():
            if key not in _NOT_LOADED:
                yield from _objects(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner, depth + 1)


def _check(entry: dict[str, Any]) -> None:
    name, module = entry.get("class_name"), entry.get("module")
    registered, config = entry.get("registered_name"), entry.get("config")
    if name in ("Lambda", "__lambda__"):
        raise Refused(
            "it has a Lambda layer, which is Python code inside the file and is never run; "
            "build the model without it, or export it as a SavedModel"
        )
    if not isinstance(name, str) or (registered is not None and ">" in str(registered)):
        raise Refused(_custom(registered if isinstance(registered, str) else name))
    if module is not None and str(module).split(".")[0] not in _PACKAGES:
        raise Refused(f"it names {name!r} of the Python module {str(module)[:80]!r}; {_HINT}")
    if name == "function":
        if config not in ACTIVATIONS:
            raise Refused(f"it names the function {str(config)[:80]!r}, which is no activation")
    elif name in ("TFOpLambda", "SlicingOpLambda"):
        _check_function(config.get("function") if isinstance(config, dict) else None)
    elif name not in CLASSES and not _is_operation(name, module):
        raise Refused(_custom(name))


def _check_function(function: Any) -> None:
    known = isinstance(function, str) and (
        function in _TF_FUNCTIONS or function.startswith(_TF_ROOMS)
    )
    if not known:
        raise Refused(f"it calls TensorFlow's {str(function)[:80]!r}, which is not taken")


def _is_operation(name: str, module: Any) -> bool:
    """One of Keras 3's plain functions of arrays, as a layer."""
    return name.isidentifier() and str(module).startswith(("keras.src.ops.", "keras.ops."))


def _custom(name: Any) -> str:
    return (
        f"it uses {str(name)[:80]!r}, which is not one of the Keras layers that are taken; {_HINT}"
    )
