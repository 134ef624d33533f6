"""Networks to int8: close to what they were, the same bits everywhere, and checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import soxr
from onnx import helper, numpy_helper

from edgeaudio.errors import EdgeAudioError
from edgeaudio.network import open_session
from edgeaudio_export.extractors import get_extractor
from edgeaudio_export.quantise import TARGETS, Quantised, quantise
from edgeaudio_export.quantise.check import check, optimised
from edgeaudio_export.quantise.survey import centred_cosine, embeddings
from tests.export.quantise import networks

Make = Callable[[], onnx.ModelProto]
MAKERS = (networks.plain, networks.mobile, networks.mixed, networks.ending_in_dense)


@pytest.fixture(scope="module")
def quantised() -> Callable[[Make], Quantised]:
    kept: dict[Make, Quantised] = {}

    def of(make: Make) -> Quantised:
        if make not in kept:
            kept[make] = quantise(make(), networks.windows(), "x86-64")
        return kept[make]

    return of


@pytest.mark.parametrize("make", MAKERS)
def test_embeddings_stay_close_on_other_sounds(
    make: Make, quantised: Callable[[Make], Quantised]
) -> None:
    others = networks.windows(16, seed=9)
    found = quantised(make)
    wanted = embeddings(make(), others)
    assert centred_cosine(wanted, embeddings(found.model, others)) >= 0.99
    assert found.cosine >= 0.98


@pytest.mark.parametrize("make", MAKERS)
def test_a_batch_gives_the_bits_of_single_windows(
    make: Make, quantised: Callable[[Make], Quantised]
) -> None:
    model, windows = quantised(make).model, networks.windows(5, seed=3)
    at_once = _run(model, np.concatenate(windows))
    assert np.array_equal(at_once, embeddings(model, windows))


@pytest.mark.parametrize("make", MAKERS)
def test_the_form_is_kept(make: Make, quantised: Callable[[Make], Quantised]) -> None:
    source, model = make(), quantised(make).model
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.opset_import) == (source.ir_version, source.opset_import)
    assert model.graph.input == source.graph.input
    assert model.graph.output == source.graph.output


@pytest.mark.parametrize("make", MAKERS)
def test_every_layer_runs_in_integers_or_exactly(
    make: Make, quantised: Callable[[Make], Quantised]
) -> None:
    found = quantised(make)
    assert found.exact
    int8 = [layer for layer in found.layers if layer.arithmetic == "int8"]
    taken = {"QLinearConv", "QGemm", "QLinearMatMul"}
    assert sum(found.operators.get(name, 0) for name in taken) == len(int8)
    assert sum(layer.share for layer in found.layers) == pytest.approx(1)
    assert all(np.isfinite(layer.sensitivity) for layer in int8)
    left = [n.op_type for n in optimised(found.model).graph.node]
    assert "Conv" not in left


@pytest.mark.parametrize("make", MAKERS)
def test_nothing_redundant_is_written(make: Make, quantised: Callable[[Make], Quantised]) -> None:
    model = quantised(make).model
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        before = makers.get(node.input[0])
        if before is not None:
            pair = (before.op_type, node.op_type)
            assert pair != ("DequantizeLinear", "QuantizeLinear")
            assert pair != ("QuantizeLinear", "QuantizeLinear")
    names = [tuple(node.input) for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("make", [networks.plain, networks.mobile])
def test_bits_do_not_depend_on_the_order_of_sums(
    make: Make, quantised: Callable[[Make], Quantised]
) -> None:
    """Channels of every layer's input are summed in another order, by permuting them."""
    model = quantised(make).model
    windows = np.concatenate(networks.windows(6, seed=4))
    assert np.array_equal(_run(model, windows), _run(_plainly(model), windows))


def test_the_first_layer_is_exact(quantised: Callable[[Make], Quantised]) -> None:
    """float32 gives what float64 gives, to the bit, on the grid that was chosen."""
    model = quantised(networks.plain).model
    node = next(n for n in model.graph.node if n.op_type == "MatMul")
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    for name in (node.input[1], node.output[0]):
        shown.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    session = open_session(shown.SerializeToString())
    for window in (*networks.windows(4, seed=5), np.full((1, 24, 16), 1e9, np.float32)):
        patches, sums = session.run([node.input[1], node.output[0]], {"spectrogram": window})
        assert np.array_equal(patches, np.rint(patches))
        wide = weights[node.input[0]].astype(np.float64) @ patches.astype(np.float64)
        assert np.array_equal(wide, sums)
        parts = np.abs(weights[node.input[0]].astype(np.float64)) @ np.abs(patches)
        steps = np.spacing(parts.max() / 2.0**23)
        assert np.all(np.isfinite(parts))
        assert steps > 0


@pytest.mark.parametrize("target", TARGETS)
def test_targets_limit_weights(target: str) -> None:
    found = quantise(networks.plain(), networks.windows(), target)
    assert found.target == target
    weights = [
        numpy_helper.to_array(t)
        for t in found.model.graph.initializer
        if t.data_type == onnx.TensorProto.INT8 and t.name.endswith("weight.integers")
    ]
    assert weights
    limit = TARGETS[target].weight_limit
    assert max(int(np.abs(w.astype(int)).max()) for w in weights) == limit
    if target == "x86-64-avx2":
        assert 2 * 255 * limit <= np.iinfo(np.int16).max


def test_quantising_is_repeatable() -> None:
    one, two = (quantise(networks.plain(), networks.windows(), "arm64").model for _ in range(2))
    assert one.SerializeToString(deterministic=True) == two.SerializeToString(deterministic=True)


def test_a_layer_can_be_kept_in_float() -> None:
    found = quantise(networks.plain(), networks.windows(), "x86-64", keep=["conv2"])
    kinds = {layer.name: layer.arithmetic for layer in found.layers}
    assert kinds == {"conv1": "float", "conv2": "float", "conv3": "int8"}


def test_a_kept_layer_whose_exact_grid_is_coarse_is_in_plain_float() -> None:
    source = networks.wide()
    found = quantise(source, networks.windows(), "x86-64", keep=["hidden"])
    layers = {layer.name: layer for layer in found.layers}
    assert layers["hidden"].arithmetic == "float"
    assert {name: layer.exact for name, layer in layers.items()} == {
        "conv1": True,
        "hidden": False,
        "last": True,
    }
    assert not found.exact
    run = optimised(found.model)
    assert found.operators == {"QGemm": 1, "QLinearConv": 1}
    wanted, written = (
        {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        for model in (source, run)
    )
    for name in ("hidden.weight", "hidden.bias"):
        assert np.array_equal(written[name], wanted[name])
    others = networks.windows(16, seed=9)
    assert centred_cosine(embeddings(source, others), embeddings(found.model, others)) >= 0.995


def test_a_network_without_layers_is_refused() -> None:
    extractor = get_extractor("logmel-stats")
    pcm = [np.zeros((1, extractor.window), np.float32)] * 8
    with pytest.raises(EdgeAudioError, match="nothing to quantise"):
        quantise(extractor.graph(), pcm, "x86-64")


@pytest.mark.parametrize(
    ("count", "target", "keep", "message"),
    [
        (24, "z80", (), "no target 'z80'; there are x86-64"),
        (3, "x86-64", (), "3 windows are too few .* at least 8"),
        (24, "x86-64", ("conv9",), "no layer 'conv9'.*conv1, conv2, conv3"),
        (24, "x86-64", ("conv1", "conv2", "conv3"), "left to quantise"),
    ],
)
def test_requests_that_can_not_be_met(
    count: int, target: str, keep: tuple[str, ...], message: str
) -> None:
    with pytest.raises(EdgeAudioError, match=message):
        quantise(networks.plain(), networks.windows(count), target, keep=keep)


@pytest.mark.parametrize("level", [-100, 0])
@pytest.mark.parametrize("make", MAKERS)
def test_silence_among_the_windows_does_no_harm(make: Make, level: float) -> None:
    """One silent window calibrates, one is held back; what was heard stays close as well."""
    silence = np.full((1, networks.FRAMES, networks.BANDS), level, np.float32)
    windows = networks.windows()
    windows[4] = windows[5] = silence
    found = quantise(make(), windows, "x86-64")
    assert found.cosine >= 0.98
    wanted, light = (embeddings(model, [silence])[0] for model in (make(), found.model))
    assert np.linalg.norm(light - wanted) < 0.2 * np.linalg.norm(wanted)
    others = networks.windows(16, seed=9)
    assert centred_cosine(embeddings(make(), others), embeddings(found.model, others)) >= 0.98


def test_windows_that_tell_nothing_are_refused() -> None:
    same = networks.windows(1) * 12
    with pytest.raises(EdgeAudioError, match="same embedding for all windows"):
        quantise(networks.plain(), same, "x86-64")
    broken = [window * np.float32("nan") for window in networks.windows(12)]
    with pytest.raises(EdgeAudioError, match="not finite"):
        quantise(networks.plain(), broken, "x86-64")


def test_a_layer_that_falls_back_is_found(quantised: Callable[[Make], Quantised]) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(quantised(networks.plain).model)
    node = next(n for n in model.graph.node if n.op_type == "Conv")
    weights = node.input[1].replace(".values", ".integers")
    check(model, {weights: "conv2"})
    # A float operator between the layer and its QuantizeLinear keeps it in floats.
    quantiser = next(n for n in model.graph.node if n.input[0] == node.output[0])
    quantiser.input[0] = "between"
    at = list(model.graph.node).index(quantiser)
    model.graph.node.insert(at, helper.make_node("Sigmoid", [node.output[0]], ["between"]))
    with pytest.raises(EdgeAudioError, match="computes conv2 in floats"):
        check(model, {weights: "conv2"})


def _run(model: onnx.ModelProto, windows: np.ndarray) -> np.ndarray:
    session = open_session(model.SerializeToString())
    return np.asarray(session.run(["embedding"], {"spectrogram": windows})[0])


def _plainly(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same with inputs of convolutions and products permuted, and weights with them."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    constants = {t.name: t for t in found.graph.initializer}
    rng = np.random.default_rng(0)
    nodes = []
    for node in found.graph.node:
        if node.op_type == "MatMul":
            weight = numpy_helper.to_array(constants[node.input[0]])
            order = rng.permutation(weight.shape[1])
            name = f"{node.output[0]}.order"
            for key, value in ((name, order), (f"{name}.weight", weight[:, order].copy())):
                found.graph.initializer.append(numpy_helper.from_array(value, key))
            nodes.append(helper.make_node("Gather", [node.input[1], name], [f"{name}.x"], axis=1))
            node.input[:] = [f"{name}.weight", f"{name}.x"]
        nodes.append(node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del found.graph.node[:]
    found.graph.node.extend(copies)
    return found


@pytest.mark.shared
def test_yamnet(shared: Path) -> None:
    """From sound, its front-end as it was, close on recordings that it was not calibrated by."""
    extractor = get_extractor("yamnet", files=(shared / "weights" / "yamnet.tflite",))
    source = extractor.graph()
    paths = sorted((shared / "data" / "esc10").glob("*/*.ogg"))
    calibration, others = paths[0::16], paths[4::20]
    found = quantise(source, [_window(p, extractor.window) for p in calibration], "x86-64")
    assert found.exact
    assert len(found.model.SerializeToString()) <= 0.4 * len(source.SerializeToString())
    windows = [_window(path, extractor.window) for path in others]
    wanted = embeddings(source, windows)
    assert centred_cosine(wanted, embeddings(found.model, windows)) >= 0.9
    assert _front_end(found.model) == _front_end(source)


def _window(path: Path, count: int) -> np.ndarray:
    """The second second of a recording, at 16 kHz."""
    samples, rate = soundfile.read(path, dtype="float32")
    return soxr.resample(samples, rate, 16_000)[None, 16_000 : 16_000 + count]


def _front_end(model: onnx.ModelProto) -> list[str]:
    """The operators that take or give float64, in order."""
    found = onnx.shape_inference.infer_shapes(model).graph
    double = {
        v.name for v in found.value_info if v.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE
    }
    return [n.op_type for n in model.graph.node if double.intersection([*n.input, *n.output])]
