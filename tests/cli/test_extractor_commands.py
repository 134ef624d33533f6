"""`extractors`, `weights`, `embed`, and the main job with an extractor that has weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile

from tests.cli.command import edgeaudio, objects


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The commands' own folder, empty."""
    monkeypatch.setenv("EDGEAUDIO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def tflite(shared: Path) -> Path:
    return shared / "weights" / "yamnet.tflite"


@pytest.fixture
def stereo(write_wav) -> Path:
    """Two seconds at 44.1 kHz; the mean of the channels is noise."""
    rng = np.random.default_rng(3)
    samples = 0.1 * rng.standard_normal((88_200, 2))
    return write_wav("stereo.wav", samples.astype(np.float32), 44_100)


def test_the_main_job_with_yamnet(tflite: Path, engine_folder: Path, tmp_path: Path) -> None:
    _, err = edgeaudio("train", engine_folder, "--extractor", "yamnet", "-o", "x", status=2)
    assert "The weights of yamnet are not on this machine yet" in err
    assert "edgeaudio weights import yamnet" in err
    edgeaudio("weights", "import", "yamnet", tflite)
    out, _ = edgeaudio("extractors", "--json")
    lines = {line["id"]: line for line in objects(out)}
    assert (lines["yamnet"]["weights"], lines["kumar"]["weights"]) == ("here", "missing")
    assert lines["yamnet"]["licence"] == "Apache-2.0"
    head, model = tmp_path / "y.head", tmp_path / "y.onnx"
    edgeaudio("train", engine_folder, "--extractor", "yamnet", "-o", head)
    _, err = edgeaudio(
        "export", "--extractor", "logmel-stats", "--head", head, "-o", model, status=2
    )
    assert "trained on 'yamnet', not on 'logmel-stats'" in err
    edgeaudio("export", "--head", head, "--calibrate", engine_folder, "-o", model)
    out, _ = edgeaudio("verify", model)
    assert "Apache-2.0" in out
    recording = engine_folder / "broken/broken-03.wav"
    offline = json.loads(edgeaudio("classify", recording, "--model", model, "--json")[0])
    listen = ("listen", "--model", model, "--source", f"file:{recording}", "--horizon", 60)
    live = objects(edgeaudio(*listen)[0])
    assert offline["label"] == live[-1]["label"] == "broken"
    assert offline["likelihoods"] == live[-1]["likelihoods"]
    session = onnxruntime.InferenceSession(model)
    assert [i.name for i in session.get_inputs()] == ["pcm"]
    assert [o.name for o in session.get_outputs()] == ["embedding", "likelihood"]


def test_extractors_as_a_table() -> None:
    out, _ = edgeaudio("extractors")
    assert "openl3-mel256-music-6144    48  1.000  6144   4.7 M   10.33  CC BY 4.0" in out
    assert "openl3-*@...: frontend orig | kapre | librosa" in out
    assert max(map(len, out.split("\n\n")[0].splitlines())) <= 80  # nothing is cut, or wrapped


def test_embed_one(stereo: Path, tflite: Path, tmp_path: Path) -> None:
    out_file = tmp_path / "e.npz"
    command = ("embed", stereo, "--extractor", "yamnet", "--weights", tflite)
    out, _ = edgeaudio(*command, "--hop", "0.25", "-o", out_file)
    assert out == f"{out_file}: 5 windows of 1024\n"
    with np.load(out_file, allow_pickle=False) as found:
        embedding = found["embedding"]
        assert embedding.dtype == np.float32
        assert found["timestamps"].tolist() == [0, 0.25, 0.5, 0.75, 1.0]
        info = json.loads(str(found["info"]))
    assert (info["extractor"], info["hop"], info["center"]) == ("yamnet", 0.25, False)
    assert info["hop_samples"] == 4000
    assert info["resampler"].startswith("soxr")
    assert len(info["extractor_digest"]) == len(info["recording_sha256"]) == 64
    _, err = edgeaudio(*command, "-o", out_file, status=2)
    assert "exists already" in err
    edgeaudio(*command, "--hop", "0.25", "--resampler", "resampy", "-o", out_file, "--force")
    with np.load(out_file, allow_pickle=False) as found:
        other = found["embedding"]
    difference = np.linalg.norm(other - embedding) / np.linalg.norm(embedding)
    assert 1e-4 < difference < 0.1


def test_channels_are_averaged(stereo: Path, write_wav, tmp_path: Path) -> None:
    samples, rate = soundfile.read(stereo)
    mono = write_wav("mono.wav", samples.mean(axis=1), rate, "DOUBLE")
    for path in (stereo, mono):
        edgeaudio("embed", path, "--resampler", "resampy", "-o", path.with_suffix(".npz"))
    one, two = (np.load(path.with_suffix(".npz"))["embedding"] for path in (stereo, mono))
    assert np.abs(one - two).max() <= 1e-4


def test_embed_folders_and_keep_what_was_computed(stereo: Path, write_wav, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_wav("in/a/one.wav", np.ones(16_000, np.float32) / 9)
    write_wav("in/b/short.wav", np.ones(4_800, np.float32) / 9)
    (folder / "b" / "broken.flac").write_bytes(b"fLaC")
    (folder / "notes.txt").write_text("no sound")
    out, err = edgeaudio("embed", folder, stereo, "-j", "2", "-o", tmp_path / "out", status=1)
    made = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.npz"))
    assert made == ["a/one.wav.npz", "b/short.wav.npz", "stereo.wav.npz"]
    assert "short.wav.npz: 1 window of 512" in out
    assert "broken.flac" in err
    assert "1 of 4 recordings could not be embedded" in err
    out, _ = edgeaudio("embed", stereo, "-o", tmp_path / "again.npz")
    assert "kept from before" in out
    one, two = tmp_path / "again.npz", tmp_path / "out" / "stereo.wav.npz"
    assert one.read_bytes() == two.read_bytes()
    out, _ = edgeaudio("embed", stereo, "--no-cache", "--force", "-o", tmp_path / "again.npz")
    assert "kept from before" not in out
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--extractor", "openl3"), "There is no extractor 'openl3'"),
        (("--extractor", "vggish"), "The weights of vggish are not on this machine yet"),
        (("--center",), "logmel-stats has no centred windows"),
        (("--frontend", "kapre"), "logmel-stats has no frontend 'kapre'"),
        (("--postprocess", "pca-round"), "logmel-stats has no postprocess"),
        (("--hop", "nan"), "nan is no number"),
        (("--device", "cuda"), "needs ONNX Runtime's build for CUDA"),
    ],
)
def test_what_embed_refuses(
    stereo: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    _, err = edgeaudio("embed", stereo, *options, "-o", tmp_path / "e.npz", status=2)
    assert said in err
    assert not (tmp_path / "e.npz").exists()


def test_hostile_weights_are_refused(stereo: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    bomb = tmp_path / "vggish.pth"
    command = f"touch {tmp_path / 'pwned'}"
    bomb.write_bytes(b"\x80\x02cos\nsystem\n(S'" + command.encode() + b"'\ntR.")
    _, err = edgeaudio("weights", "import", "vggish", bomb, status=3)
    assert str(bomb) in err
    embed = ("embed", stereo, "--extractor", "vggish", "--weights", bomb)
    edgeaudio(*embed, "-o", tmp_path / "e.npz", status=3)
    assert not (tmp_path / "pwned").exists()
