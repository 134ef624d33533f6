"""SavedModels and TensorFlow Lite files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeaudio.errors import ModelFileError
from edgeaudio_export.foreign import import_model
from tests.export.foreign.conftest import embed, sounds
from tests.export.foreign.test_keras import assert_same, logmel, raw


@pytest.mark.parametrize("name", ["saved1", "saved2", "saved3"])
def test_saved_model(built: Path, name: str) -> None:
    path = built / name if name != "saved2" else built / name / "saved_model.pb"
    extractor = raw(path)
    assert extractor.kind == "savedmodel"
    assert_same(extractor, built, name)


def test_own_spectrogram_and_one_of_two_outputs(built: Path) -> None:
    with pytest.raises(ModelFileError, match=r"2 outputs \(.*\); name one with --layer"):
        raw(built / "outputs")
    extractor = raw(built / "outputs", layer="max")
    wanted = np.load(built / "outputs.npy")
    found = embed(extractor, sounds(4000))  # many windows, where the model takes one
    assert np.linalg.norm(found - wanted) <= 1e-5 * np.linalg.norm(wanted)


def test_tensor_inside_a_saved_model(built: Path) -> None:
    extractor = raw(built / "saved2", layer="logits/BiasAdd")
    odds = np.exp(embed(extractor, sounds(4000)))
    wanted = np.load(built / "saved2.npy")
    assert np.abs(odds / odds.sum(axis=1, keepdims=True) - wanted).max() <= 1e-5


def test_spectrogram_that_tf2onnx_breaks(built: Path) -> None:
    with pytest.raises(ModelFileError, match="no operator .*RFFT .* import it with a front-end"):
        raw(built / "kapre")


def test_operator_that_writes_is_never_run(built: Path) -> None:
    with pytest.raises(ModelFileError, match="WriteFile, which reaches beyond"):
        raw(built / "writer")
    assert not (built / "written").exists()


@pytest.mark.parametrize("name", ["float", "half", "dynamic"])
def test_tflite(built: Path, name: str) -> None:
    extractor = logmel(built / f"{name}.tflite")
    limit = {"float": 1e-5, "half": 2e-3, "dynamic": 5e-2}[name]  # of the rounded weights
    wanted = np.load(built / "float.npy")
    assert np.abs(embed(extractor, sounds(15_600)) - wanted).max() <= limit
    operators = {node.op_type for node in extractor.model.graph.node}
    assert not any("Quantize" in operator for operator in operators)


def test_integer_arithmetic_is_refused(built: Path) -> None:
    with pytest.raises(ModelFileError, match="activations are integers, too"):
        logmel(built / "integer.tflite")


def test_flex_is_refused(built: Path) -> None:
    with pytest.raises(ModelFileError, match=r"full TensorFlow for Flex\w+ \(a flex operator\)"):
        raw(built / "flex.tflite")


def test_truncated_tflite(built: Path, tmp_path: Path) -> None:
    whole = (built / "float.tflite").read_bytes()
    path = tmp_path / "cut.tflite"
    for share in (0.01, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ModelFileError, match="can't be imported: "):
            logmel(path)


@pytest.mark.shared
def test_yamnet(built: Path, shared: Path) -> None:
    """Float arithmetic on its dequantised weights, where the usual conversion is off by 0.67."""
    pooled = "yamnet_frames/global_average_pooling2d/Mean"
    extractor = import_model(
        shared / "weights" / "yamnet.tflite",
        name="mine",
        sample_rate=16_000,
        window=15_600,
        layer=pooled,
    )
    assert extractor.dimensions == 1024
    pcm = sounds(15_600)
    wanted = dequantised_yamnet(shared / "weights" / "yamnet.tflite", pcm)
    found = embed(extractor, pcm)
    # The file makes its spectrogram in float32, ours is made in float64.
    assert np.linalg.norm(found - wanted) <= 1e-4 * np.linalg.norm(wanted)


def dequantised_yamnet(path: Path, pcm: np.ndarray) -> np.ndarray:
    """Our own YAMNet, whose importer has nothing of TensorFlow, with the file's mel matrix."""
    import tflite

    from edgeaudio.spectrogram import hann
    from edgeaudio_export.frontends import spectra, vggish
    from edgeaudio_export.graphs import GraphBuilder
    from edgeaudio_export.networks import yamnet
    from edgeaudio_export.weights.importers import yamnet as importer

    model = tflite.Model.GetRootAs(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    mel = next(
        importer._dequantised(
            model.Buffers(tensor.Buffer()).DataAsNumpy().view(np.int8),
            (64, 257),
            tensor.Quantization(),
        )
        for tensor in map(graph.Tensors, range(graph.TensorsLength()))
        if tensor.ShapeLength() == 2 and tensor.ShapeAsNumpy().tolist() == [64, 257]
    )
    frames = spectra.frames_of(pcm.astype(np.float64), vggish.FRAME, vggish.HOP)
    power = spectra.power(frames, hann(vggish.FRAME), vggish.FFT)
    cells = np.log(np.sqrt(power) @ mel.T + vggish.YAMNET_OFFSET).astype(np.float32)
    b = GraphBuilder()
    b.rename_last(
        yamnet.add_network(b, "cells", importer.read(path), yamnet.OUTPUTS[0]), "embedding"
    )
    network = b.model("yamnet", {"cells": ["N", 96, 64]}, {"embedding": ["N", 1024]})
    from edgeaudio.network import open_session

    session = open_session(network.SerializeToString())
    return np.asarray(session.run(None, {"cells": cells})[0])
