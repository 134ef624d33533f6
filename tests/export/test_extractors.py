"""Extractors against the peers' own embeddings, with the reference data's weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest
import soundfile

from edgeaudio.errors import EdgeAudioError, MissingWeightsError
from edgeaudio_export.catalogue import CATALOGUE
from edgeaudio_export.extractors import get_extractor
from edgeaudio_export.peers.files import FileEmbedder

Keep = Callable[[str], None]


def distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """Relative L2, over all windows."""
    assert found.shape == wanted.shape
    return float(np.linalg.norm(found - wanted.astype(np.float64)) / np.linalg.norm(wanted))


@pytest.fixture
def recording(recipe: ModuleType, tmp_path: Path) -> Callable[[str], Path]:
    """A signal of the reference data as a file, without loss."""

    def write(name: str) -> Path:
        samples, rate = recipe.signal(name)
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, samples, rate, subtype="DOUBLE")
        return path

    return write


def openl3_references(shared: Path, representation: str) -> Iterator[tuple[str, np.ndarray, dict]]:
    refs = np.load(shared / "reference" / "openl3_embeddings.npz")
    for key in refs.files:
        if key.startswith(f"{representation}|") and not key.endswith("|ts"):
            _, generation, size, signal, hop, center = key.split("|")
            how = {"signal": signal, "hop": float(hop.removeprefix("hop"))}
            how |= {"center": center == "center", "timestamps": refs.get(f"{key}|ts")}
            yield f"{size}@{generation}", refs[key], how


@pytest.mark.parametrize("representation", ["linear", "mel128", "mel256"])
def test_openl3(
    shared: Path, recording: Callable[[str], Path], drawn_weights: Keep, representation: str
) -> None:
    drawn_weights(f"openl3-{representation}-music")
    extractors: dict[str, FileEmbedder] = {}
    for variant, wanted, how in openl3_references(shared, representation):
        key = f"{variant} {how['hop']} {how['center']}"
        if key not in extractors:
            extractor = get_extractor(f"openl3-{representation}-music-{variant}")
            extractors[key] = FileEmbedder(
                extractor, hop=how["hop"], center=how["center"], threads=2
            )
        found = extractors[key].embed(recording(how["signal"]))
        assert distance(found.embedding[: len(wanted)], wanted) <= 1e-5, (key, how["signal"])
        if how["timestamps"] is not None:
            assert np.allclose(found.timestamps, how["timestamps"])


@pytest.mark.parametrize(
    ("output", "reference"),
    [("relu", "relu_embedding"), ("preact", "preact_embedding"), ("pca-round", "pca_quantised")],
)
def test_vggish(
    shared: Path,
    recording: Callable[[str], Path],
    drawn_weights: Keep,
    output: str,
    reference: str,
) -> None:
    drawn_weights("vggish")
    drawn_weights("vggish-pca")
    refs = np.load(shared / "reference" / "vggish_refs.npz")
    embedder = FileEmbedder(get_extractor(f"vggish@{output}"), hop=0.96, threads=2)
    for signal in ("pink16", "silence16"):
        found = embedder.embed(recording(signal)).embedding
        assert distance(found, refs[f"{signal}|{reference}"]) <= 1e-5


def test_vggish_truncates_as_tensorflow_does(
    recording: Callable[[str], Path], drawn_weights: Keep
) -> None:
    drawn_weights("vggish")
    drawn_weights("vggish-pca")
    path = recording("pink16")
    rounded, truncated = (
        FileEmbedder(get_extractor(f"vggish@{o}"), threads=2).embed(path).embedding
        for o in ("pca-round", "pca-truncate")
    )
    assert set(np.unique(rounded - truncated)) == {0.0, 1.0}
    assert np.array_equal(truncated, np.floor(truncated))


@pytest.mark.parametrize("output", ["layer18", "layer19"])
@pytest.mark.parametrize("padding", ["constant", "reflect"])
def test_kumar(
    shared: Path,
    recording: Callable[[str], Path],
    drawn_weights: Keep,
    output: str,
    padding: str,
) -> None:
    drawn_weights("kumar")
    refs = np.load(shared / "reference" / "kumar_refs.npz")
    found = FileEmbedder(get_extractor(f"kumar@{output},{padding}")).embed(recording("pink44"))
    mean = found.embedding.mean(axis=0, keepdims=True)
    assert distance(mean, refs[f"pink44|{output}|{padding}"]) <= 1e-5
    assert np.allclose(found.timestamps, [0, 64 * 512 / 44_100])


def test_kumar_in_pieces_is_kumar_at_once(
    drawn_weights: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn_weights("kumar")
    noise = 0.1 * np.random.default_rng(0).standard_normal(44_100 * 12 + 17)
    path = tmp_path / "long.wav"
    soundfile.write(path, noise * np.linspace(0, 1, len(noise)), 44_100)
    embedder = FileEmbedder(get_extractor("kumar"))
    whole = embedder.embed(path).embedding
    assert len(whole) == (1 + (44_100 * 12 + 17) // 512) // 64 - 1
    monkeypatch.setattr("edgeaudio_export.peers.files._CHUNK_COLUMNS", 3)
    assert distance(embedder.embed(path).embedding, whole) <= 1e-6


def test_kumars_own_step_can_be_named(drawn_weights: Keep) -> None:
    drawn_weights("kumar")
    extractor = get_extractor("kumar")
    assert FileEmbedder(extractor, hop=0.743).whole_file
    assert FileEmbedder(extractor, hop=0.743).hop_samples == 64 * 512
    assert not FileEmbedder(extractor, hop=0.74).whole_file


def test_kumar_pads_short_files_as_the_peer_does(drawn_weights: Keep, tmp_path: Path) -> None:
    drawn_weights("kumar")
    path = tmp_path / "short.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(22_050), 44_100)
    found = FileEmbedder(get_extractor("kumar")).embed(path)
    columns = get_extractor("kumar").columns
    assert columns is not None
    samples, _ = soundfile.read(path)
    spectrogram = columns.spectrogram(samples)  # 44 frames; the others are 0 dB, which is loud
    padded = np.concatenate([spectrogram, np.zeros((128 - len(spectrogram), 128), np.float32)])
    session = onnxruntime.InferenceSession(columns.graph().SerializeToString())
    wanted = session.run(None, {"spectrogram": padded[None]})[0][0].T
    assert distance(found.embedding, wanted) <= 1e-6


def yamnet(shared: Path, output: str) -> FileEmbedder:
    files = (shared / "weights" / "yamnet.tflite",)
    return FileEmbedder(get_extractor(f"yamnet@{output}", files=files))


def test_yamnet(shared: Path, recording: Callable[[str], Path]) -> None:
    refs = np.load(shared / "reference" / "yamnet_refs.npz")
    for output in ("embedding", "scores"):
        embedder = yamnet(shared, output)
        for signal in ("pink16", "silence16"):
            found = embedder.embed(recording(signal)).embedding
            assert distance(found, refs[f"{signal}|{output}"]) <= 1e-5


def test_one_file_runs_in_plain_onnx_runtime(shared: Path, recipe: ModuleType) -> None:
    extractor = get_extractor("yamnet", files=(shared / "weights" / "yamnet.tflite",))
    session = onnxruntime.InferenceSession(extractor.graph().SerializeToString())
    samples, _ = recipe.signal("pink16")
    pcm = np.stack([samples[i : i + 15_600] for i in (0, 7800)]).astype(np.float32)
    found = session.run(None, {"pcm": pcm})[0]
    wanted = np.load(shared / "reference" / "yamnet_refs.npz")["pink16|embedding"][:2]
    assert distance(found, wanted) <= 1e-5


def test_centring_is_openl3s(shared: Path) -> None:
    extractor = get_extractor("yamnet", files=(shared / "weights" / "yamnet.tflite",))
    with pytest.raises(EdgeAudioError, match="yamnet has no centred windows"):
        FileEmbedder(extractor, center=True)


def test_one_extractor_has_one_id(drawn_weights: Keep) -> None:
    drawn_weights("kumar")
    first = get_extractor("kumar@reflect,layer19")
    second = get_extractor("kumar@layer19", options={"padding": "reflect"})
    assert first.id == second.id == "kumar@layer19,reflect"
    assert first.digest == second.digest
    assert get_extractor("kumar@layer18,constant").id == "kumar"
    assert get_extractor("kumar").digest != first.digest


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("openl3", {}, "no extractor 'openl3'; see `edgeaudio extractors`"),
        ("vggish@kapre", {}, "vggish has no option 'kapre'; it has activation: relu, preact; post"),
        ("vggish@relu,preact", {}, "vggish@relu,preact names two options of activation"),
        ("kumar", {"frontend": "orig"}, "kumar has no frontend 'orig'"),
        ("logmel-stats@x", {}, "no option 'x'; it has none"),
    ],
)
def test_what_there_is_not(name: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(EdgeAudioError, match=message):
        get_extractor(name, options=options)


def test_weights_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAUDIO_HOME", str(tmp_path))
    with pytest.raises(MissingWeightsError, match="edgeaudio weights import vggish"):
        get_extractor("vggish")


def test_the_papers_extractors_are_all_there() -> None:
    openl3 = {
        f"openl3-{r}-{c}-{size}"
        for r in ("linear", "mel128", "mel256")
        for c in ("music", "env")
        for size in (512, 6144)
    }
    assert set(CATALOGUE) == openl3 | {"logmel-stats", "logmel", "vggish", "kumar", "yamnet"}
