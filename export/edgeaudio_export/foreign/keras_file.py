"""A Keras model in one file (`.h5`, `.keras`): scanned, loaded, and cut at a layer.

Imported in the worker process alone. Which Keras reads a file decides what it computes: a
`hard_sigmoid` of Keras 2 is not that of Keras 3. So whatever Keras 1 or 2 wrote is read by
`tf_keras`, which is Keras 2 carried on, and what Keras 3 wrote by Keras 3.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import tf_keras

from edgeaudio.types import F32
from edgeaudio_export.foreign import keras_store
from edgeaudio_export.foreign.exact import exact_rows
from edgeaudio_export.foreign.request import Converted, Refused, named
from edgeaudio_export.foreign.shapes import Fit, fit
from edgeaudio_export.foreign.tensorflow import function_to_onnx, rows


def convert(source: Path, layer: str | None, signals: F32, exact: int) -> Converted:
    """Bring a file into ONNX. layer: name of a layer. signals: float32 [K, ...].

    exact: how many of them to run in float64, too.
    Raises Refused, and whatever Keras, TensorFlow and tf2onnx raise.
    """
    model = _load(source)
    layers = dict(_layers(model))
    if any(getattr(one, "stateful", False) for one in layers.values()):
        raise Refused("it carries its state from window to window (stateful); save it without")
    laid = fit(signals.shape[1:], _input(model, signals.shape[1:]))
    call = _caller(model, _chosen(layers, layer))
    outputs = rows(_runner(call, layers, laid), signals, laid)
    network = function_to_onnx(call, laid)
    return Converted(network, outputs, exact_rows(call, signals[:exact], laid))


def _load(source: Path) -> Any:
    kept = keras_store.open_checked(source)
    if not kept.legacy:
        return keras.saving.load_model(source, compile=False, safe_mode=True)
    try:
        return tf_keras.models.load_model(source, compile=False, safe_mode=True)
    except Exception as first:  # whatever Keras 2 raises
        if kept.version:
            raise
        try:
            return keras.saving.load_model(source, compile=False, safe_mode=True)
        except Exception:  # says less: nothing speaks for Keras 3
            raise first from None


def _input(model: Any, data: tuple[int, ...]) -> list[int | None]:
    """Dimensions of the one input, None where any size goes."""
    inputs = model.inputs
    if not inputs:  # a Sequential that was never told
        return [None, *data]
    if len(inputs) != 1:
        names = named([str(i.name) for i in inputs])
        raise Refused(f"it has {len(inputs)} inputs ({names}); one is expected, the window")
    kind = tf.as_dtype(inputs[0].dtype)
    if not kind.is_floating:
        raise Refused(f"its input is {kind.name}; float32 samples are expected")
    return list(inputs[0].shape)


def _layers(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each layer by name; those of a model inside as `outer/inner`."""
    for one in model.layers:
        yield prefix + one.name, one
        if hasattr(one, "layers"):
            yield from _layers(one, f"{prefix}{one.name}/")


def _chosen(layers: dict[str, Any], name: str | None) -> Any:
    """The layer called `name`, also by its last part where that says enough; None for None."""
    if name is None or name in layers:
        return layers[name] if name else None
    found = [path for path in layers if path.rpartition("/")[2] == name]
    if len(found) == 1:
        return layers[found[0]]
    last = list(layers)[::-1]
    raise Refused(f"it has no layer {name!r}; its last ones are {named(last)}")


def _caller(model: Any, layer: Any) -> Callable[[Any], Any]:
    """The model as a function of its input that gives what `layer` gives, or the model itself."""
    seen: list[Any] = []
    if layer is not None:
        original = layer.call

        @functools.wraps(original)
        def watched(*args: Any, **kwargs: Any) -> Any:
            seen.append(original(*args, **kwargs))
            return seen[-1]

        layer.call = watched

    def call(window: Any) -> Any:
        seen.clear()
        found = [model(window, training=False)]
        found = _flat(seen if layer is not None else found)
        if len(found) != 1:
            what = "the layer" if layer is not None else "it"
            raise Refused(f"{what} gives {len(found)} outputs; name a layer with one (--layer)")
        return tf.cast(found[0], tf.float32)

    return call


def _flat(outputs: list[Any]) -> list[Any]:
    return list(tf.nest.flatten(outputs))


def _runner(call: Callable[[Any], Any], layers: dict[str, Any], laid: Fit) -> Callable[[F32], Any]:
    """As Keras predicts; compiled where TensorFlow has no other way on a processor."""
    compiled = any(getattr(one, "data_format", "") == "channels_first" for one in layers.values())
    signature = [tf.TensorSpec(laid.shape, tf.float32)]
    # Without autograph, which rewords what is raised inside, and which Keras's layers don't need.
    found: Callable[[F32], Any] = tf.function(
        call, signature, jit_compile=compiled or None, autograph=False
    )
    return found
