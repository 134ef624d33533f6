"""What Keras files say of themselves, which is read before Keras reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgeaudio_export.foreign.check import compare, limits_of, nudged
from edgeaudio_export.foreign.keras1 import is_keras_1, translated
from edgeaudio_export.foreign.keras_config import parse_config
from edgeaudio_export.foreign.request import Refused
from edgeaudio_export.foreign.shapes import fit
from tests.export.foreign.conftest import sounds


def sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "s", "layers": list(layers)}}


def layer(name: str, **entries: Any) -> dict[str, Any]:
    return {"class_name": name, "config": {"name": "one"}, **entries}


HOSTILE = [
    (layer("Lambda"), "Lambda layer, which is Python code"),
    (layer("Dense", config={"activation": {"class_name": "__lambda__"}}), "Lambda layer"),
    (layer("TFSMLayer", module="keras.layers"), "uses 'TFSMLayer'"),
    (layer("Popen", module="subprocess"), "'Popen' of the Python module 'subprocess'"),
    (layer("Dense", registered_name="Mine>Dense"), "uses 'Mine>Dense'"),
    (layer("function", config="get_file", module="keras.utils"), "function 'get_file'"),
    (layer("get_file", module="keras.utils"), "uses 'get_file'"),
    (layer("StringLookup"), "uses 'StringLookup'"),
    (layer("Custom>Thing"), "uses 'Custom>Thing'"),
    (layer("TFOpLambda", config={"function": "io.write_file"}), "TensorFlow's 'io.write_file'"),
    (layer("TFOpLambda", config={"function": "py_function"}), "TensorFlow's 'py_function'"),
    ({"class_name": 7, "config": {}}, "uses '7'"),
    ({"module": "os", "config": "system"}, "uses 'None'"),
]


@pytest.mark.parametrize(("entry", "reason"), HOSTILE)
def test_refused(entry: dict[str, Any], reason: str) -> None:
    for text in (sequential(entry), sequential(layer("Bidirectional", config={"layer": entry}))):
        with pytest.raises(Refused, match=reason):
            parse_config(json.dumps(text))


@pytest.mark.parametrize("text", ["", "[]", "7", "{", "{}", "[" * 10_000, '{"class_name": 1}'])
def test_no_description(text: str) -> None:
    with pytest.raises(Refused, match="description of its layers"):
        parse_config(text)


def test_nested_too_deep() -> None:
    config: dict[str, Any] = layer("Dense")
    for _ in range(300):
        config = sequential(config)
    with pytest.raises(Refused, match="nested too deep"):
        parse_config(json.dumps(config))


def test_taken() -> None:
    entries = [
        layer("Conv1D", module="keras.layers", registered_name=None),
        layer("TFOpLambda", config={"function": "math.truediv"}),
        layer("Mean", module="keras.src.ops.numpy", registered_name="Mean"),
        layer("Dense", config={"activation": {"class_name": "function", "config": "relu"}}),
    ]
    config = sequential(*entries) | {"compile_config": {"class_name": "MyLoss"}}
    assert parse_config(json.dumps(config)) == config


def keras_1(kind: str, /, **config: Any) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": [{"class_name": kind, "config": config}]}


def test_keras_1_is_recognised() -> None:
    old = keras_1("Dense", name="d", output_dim=3)
    assert is_keras_1(old, "1.0.8")
    assert is_keras_1(old, "")
    assert not is_keras_1(old, "2.0.0")
    new = sequential({"class_name": "Embedding", "config": {"input_dim": 5, "output_dim": 3}})
    assert not is_keras_1(new, "")


def test_keras_1_in_the_words_of_keras_2() -> None:
    old = keras_1(
        "Convolution2D",
        name="c",
        nb_filter=4,
        nb_row=3,
        nb_col=5,
        subsample=[2, 1],
        border_mode="same",
        dim_ordering="tf",
        bias=False,
        W_regularizer={"name": "L2"},
        batch_input_shape=[None, 96, 64, 1],
    )
    assert translated(old)["config"] == [
        {
            "class_name": "Conv2D",
            "config": {
                "name": "c",
                "filters": 4,
                "kernel_size": [3, 5],
                "strides": [2, 1],
                "padding": "same",
                "data_format": "channels_last",
                "use_bias": False,
                "batch_input_shape": [None, 96, 64, 1],
            },
        }
    ]


def test_keras_1_graph_with_a_merge() -> None:
    nodes = [[["a", 0, 0], ["b", 0, 0]]]
    merge = {
        "class_name": "Merge",
        "name": "m",
        "config": {"name": "m", "mode": "concat", "concat_axis": 1, "mode_type": "raw"},
        "inbound_nodes": nodes,
    }
    config = {"layers": [merge], "input_layers": [], "output_layers": []}
    found = translated({"class_name": "Model", "config": config})
    assert found["config"]["layers"] == [
        {
            "class_name": "Concatenate",
            "name": "m",
            "config": {"name": "m", "axis": 1},
            "inbound_nodes": nodes,
        }
    ]


@pytest.mark.parametrize(
    ("name", "config", "reason"),
    [
        ("Convolution2D", {"dim_ordering": "th"}, "channels first, as Theano"),
        ("BatchNormalization", {"mode": 1}, "mode 1, which went away"),
        ("MaxoutDense", {}, "MaxoutDense layer, which went away"),
        ("Merge", {"mode": "cos"}, "the mode 'cos'"),
    ],
)
def test_keras_1_refused(name: str, config: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        translated(keras_1(name, name="x", **config))


@pytest.mark.parametrize(
    ("data", "wanted", "shape", "transposed"),
    [
        ((4000,), (None, 4000), (1, 4000), False),
        ((4000,), (4000,), (4000,), False),
        ((4000,), (1, 1, 1, 4000), (1, 1, 1, 4000), False),
        ((96, 64), (None, 96, 64, 1), (1, 96, 64, 1), False),
        ((96, 64), (None, 1, 64, 96), (1, 1, 64, 96), True),
        ((96, 64), (None, None, 64), (1, 96, 64), False),
    ],
)
def test_fit(
    data: tuple[int, ...], wanted: tuple[int, ...], shape: tuple[int, ...], transposed: bool
) -> None:
    found = fit(data, wanted)
    assert (found.shape, found.transposed) == (shape, transposed)


def test_fit_refuses() -> None:
    for wanted in ((None, 4001), (2, 4000), (None, 40, 100), ()):
        with pytest.raises(Refused, match="into which a window of 4000 does not fit"):
            fit((4000,), wanted)


def test_limits_follow_the_rounding_of_the_source() -> None:
    outputs = sounds(100)
    moved = nudged(outputs)
    assert set(limits_of("keras", outputs, moved, outputs.astype("f8"))) == {1e-5}
    assert set(limits_of("onnx", outputs, moved, None)) == {1e-5}
    assert set(limits_of("tflite", outputs, moved, None)) == {5e-5}
    off = limits_of("keras", outputs, moved, outputs.astype("f8") * (1 + 4e-5))
    assert all(abs(limit - 8e-5) < 1e-6 for limit in off)
    assert set(limits_of("keras", outputs, moved, outputs.astype("f8") * 1.5)) == {1e-3}


def test_compare() -> None:
    wanted = sounds(100)
    names, limits = ["a", "b", "c"], [1e-5] * 3
    assert compare(names, wanted, wanted, limits).holds
    off = wanted.copy()
    off[1] *= 1 + 1e-4
    report = compare(names, wanted, off, limits)
    assert [r.holds for r in report.results] == [True, False, True]
    assert abs(report.worst - 1e-4) < 1e-6
    off[2, 0] = float("nan")
    assert [r.holds for r in compare(names, wanted, off, limits).results] == [True, False, False]
    with pytest.raises(ValueError, match="compared with"):
        compare(names, wanted, off[:, :50], limits)
