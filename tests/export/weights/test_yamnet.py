"""YAMNet's .tflite: the real file where there is one, and damaged ones."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from edgeaudio.errors import WeightsFileError
from edgeaudio_export.weights.importers import layouts, yamnet

tflite = pytest.importorskip("tflite")


@pytest.fixture(scope="module")
def real(shared: Path) -> Path:
    return shared / "weights" / "yamnet.tflite"


def test_reads_the_real_file(real: Path) -> None:
    found = yamnet.read(real)
    assert {name: array.shape for name, array in found.items()} == dict(layouts.YAMNET)
    # Dequantised: at most 255 steps a channel, all multiples of one scale.
    channel = found["block13.pointwise.weight"][5].ravel().astype(np.float64)
    steps = channel / (np.abs(channel).max() / 127)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)
    assert len(np.unique(channel)) <= 255
    # Kept as they are in the file: the first convolution and all biases.
    assert len(np.unique(found["conv0.weight"])) == 288
    assert len(np.unique(found["block1.depthwise.weight"])) == 288


def test_a_scale_a_slice() -> None:
    class Quantisation:
        scale, zero, axis = np.array([0.5, 2.0]), np.array([0, -1]), 1

        def ScaleLength(self) -> int:  # noqa: N802
            return len(self.scale)

        def ScaleAsNumpy(self) -> np.ndarray:  # noqa: N802
            return self.scale

        def ZeroPointLength(self) -> int:  # noqa: N802
            return len(self.zero)

        def ZeroPointAsNumpy(self) -> np.ndarray:  # noqa: N802
            return self.zero

        def QuantizedDimension(self) -> int:  # noqa: N802
            return self.axis

    values = np.array([[1, 2], [-128, 127]], np.int8)
    found = yamnet._dequantised(values.ravel(), (2, 2), Quantisation())
    np.testing.assert_array_equal(found, [[0.5, 6.0], [-64.0, 256.0]])
    Quantisation.scale, Quantisation.zero = np.array([0.25]), np.array([1])
    found = yamnet._dequantised(values.ravel(), (2, 2), Quantisation())
    np.testing.assert_array_equal(found, [[0.0, 0.25], [-32.25, 31.5]])
    Quantisation.scale = np.array([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="3 scales do not fit"):
        yamnet._dequantised(values.ravel(), (2, 2), Quantisation())


def test_refuses_other_files(tmp_path: Path) -> None:
    path = tmp_path / "x.tflite"
    for data in (b"\x00", b"x" * 100, b"\x00" * 1000):
        path.write_bytes(data)
        with pytest.raises(WeightsFileError, match="is no TFLite file"):
            yamnet.read(path)
    for data in (b"\x08\x00\x00\x00TFL3", b"\xff\xff\xff\xffTFL3" + bytes(50)):
        path.write_bytes(data)
        with pytest.raises(WeightsFileError, match="can't be read as a TFLite model of YAMNet"):
            yamnet.read(path)


def test_refuses_a_truncated_file(real: Path, tmp_path: Path) -> None:
    data, path = real.read_bytes(), tmp_path / "cut.tflite"
    for length in (8, 40, 1000, len(data) // 2, len(data) - 30_000):
        path.write_bytes(data[:length])
        with pytest.raises(WeightsFileError, match=r"cut\.tflite"):
            yamnet.read(path)


def test_names_the_first_wrong_shape(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {**layouts.YAMNET, "block3.pointwise.bias": (64,)}
    monkeypatch.setattr(layouts, "YAMNET", wanted)
    expected = r"block3.pointwise.bias has the shape \(128\), expected \(64\)"
    with pytest.raises(WeightsFileError, match=expected):
        yamnet.read(real)


def test_another_network_is_no_yamnet(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = {name: s for name, s in layouts.YAMNET.items() if not name.startswith("block13")}
    monkeypatch.setattr(layouts, "YAMNET", other)
    with pytest.raises(WeightsFileError, match="is no YAMNet: after its front-end it has conv"):
        yamnet.read(real)


def test_refuses_wild_offsets(real: Path, tmp_path: Path) -> None:
    """Damage in the tables, most of which lie at the end, and at the root."""
    data, path = real.read_bytes(), tmp_path / "wild.tflite"
    rng = np.random.default_rng(3)
    refused = 0
    for k in range(120):
        bad = bytearray(data)
        for at in rng.integers(len(data) - 40_000, len(data) - 4, 60):
            bad[at : at + 4] = rng.bytes(4)
        if k % 4 == 0:
            bad[0:4] = rng.bytes(4)
        path.write_bytes(bytes(bad))
        with contextlib.suppress(WeightsFileError):  # some of it is in names
            yamnet.read(path)
            refused -= 1
        refused += 1
    assert refused > 60
