"""Keras files of three generations, against what Keras itself gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeaudio.errors import EdgeAudioError, ModelFileError
from edgeaudio_export.foreign import ForeignExtractor, import_model
from tests.export.foreign.conftest import embed, sounds


def raw(path: Path, **options: str) -> ForeignExtractor:
    return import_model(path, name="mine", sample_rate=16_000, window=4000, **options)


def logmel(path: Path, **options: str) -> ForeignExtractor:
    return import_model(
        path, name="mine", sample_rate=16_000, window=15_600, frontend="vggish", **options
    )


def assert_same(extractor: ForeignExtractor, folder: Path, name: str, limit: float = 1e-5) -> None:
    wanted = np.load(folder / f"{name}.npy")
    found = embed(extractor, sounds(extractor.window))
    assert found.shape == wanted.shape == (3, extractor.dimensions)
    assert np.abs(found - wanted).max() <= limit
    assert np.ptp(wanted, axis=0).max() > 100 * limit  # or else anything would do


KINDS = {
    ("keras2", "h5"): ("raw", "residual", "image", "recurrent", "nested"),
    ("keras3", "h5"): ("raw", "nested"),
    ("keras3", "keras"): ("residual", "image", "recurrent"),
}
FILES = [f"{tag}-{kind}.{end}" for (tag, end), kinds in KINDS.items() for kind in kinds]


@pytest.mark.parametrize("file", FILES)
def test_whole_model(built: Path, file: str) -> None:
    read = raw if file.split(".")[0].endswith(("raw", "residual")) else logmel
    extractor = read(built / file)
    assert_same(extractor, built, file.split(".")[0])
    assert extractor.report.holds
    assert extractor.kind == "keras"
    assert extractor.versions["tensorflow"]


def test_keras_1(built: Path) -> None:
    assert_same(logmel(built / "keras1.h5"), built, "keras1")


def test_frequency_first_with_channels_before(built: Path) -> None:
    assert_same(logmel(built / "upright.h5"), built, "upright")


def test_penultimate_layer(built: Path) -> None:
    extractor = logmel(built / "keras2-image.h5", layer="penultimate")
    assert extractor.dimensions == 10
    assert_same(extractor, built, "penultimate")


def test_layer_of_a_model_inside(built: Path) -> None:
    # Keras's own mean over the spectrogram is off by 2e-5, see `check`.
    extractor = logmel(built / "keras2-nested.h5", layer="backbone/pooled")
    assert_same(extractor, built, "pooled", limit=1e-4)


def test_unknown_layer_lists_what_there_is(built: Path) -> None:
    with pytest.raises(ModelFileError, match="no layer 'nose'; its last ones are .*penultimate"):
        logmel(built / "keras2-image.h5", layer="nose")


def test_input_of_another_size(built: Path) -> None:
    with pytest.raises(ModelFileError, match="input is any x 4000 x 1, .* window of 2000"):
        import_model(built / "keras2-raw.h5", name="mine", sample_rate=16_000, window=2000)
    with pytest.raises(EdgeAudioError, match="takes windows of 15600 samples at 16000 Hz"):
        raw(built / "keras2-image.h5", frontend="vggish")


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("lambda.h5", "Lambda layer, which is Python code"),
        ("custom.h5", "uses 'Custom', which is not one of the Keras layers"),
        ("weights.weights.h5", "weights alone"),
        ("two.h5", "2 inputs"),
    ],
)
def test_refused(built: Path, file: str, reason: str) -> None:
    with pytest.raises(ModelFileError, match=reason):
        raw(built / file)


def test_state_between_windows_is_refused(built: Path) -> None:
    with pytest.raises(ModelFileError, match="from window to window"):
        logmel(built / "stateful.h5")


def test_truncated(built: Path, tmp_path: Path) -> None:
    for source, share in (("keras2-raw.h5", 0.5), ("keras3-residual.keras", 0.99)):
        whole = (built / source).read_bytes()
        path = tmp_path / source
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ModelFileError, match="can't be imported: it is no"):
            raw(path)
