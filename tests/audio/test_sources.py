from __future__ import annotations

import io
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edgeaudio.audio.file import FileSource, PipeSource
from edgeaudio.audio.source import ArraySource, LimitedSource, PacedSource, Source
from edgeaudio.errors import AudioFileError


def samples_of(source: Source) -> np.ndarray:
    with source:
        blocks = list(source.blocks())
    starts = np.cumsum([0, *(len(b.samples) for b in blocks)])[:-1]
    assert [b.start for b in blocks] == starts.tolist()
    return np.concatenate([b.samples for b in blocks])


@pytest.mark.parametrize(
    ("subtype", "error"),
    [("PCM_U8", 2**-7), ("PCM_16", 2**-15), ("PCM_24", 2**-23), ("FLOAT", 0), ("DOUBLE", 0)],
)
def test_wav_of_any_width(write_wav, subtype: str, error: float) -> None:
    samples = np.linspace(-0.9, 0.9, 4000, dtype=np.float32)
    path = write_wav("a.wav", samples, subtype=subtype)
    assert np.abs(samples_of(FileSource(path))[:, 0] - samples).max() <= error


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
def test_compressed_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    tone = 0.5 * np.sin(np.arange(22_050) / 20)
    soundfile.write(path, np.stack([tone, tone], axis=1), 22_050)
    source = FileSource(path)
    assert (source.sample_rate, source.channels) == (22_050, 2)
    found = samples_of(source)
    assert 22_050 <= len(found) <= 22_050 + 2400, "MP3 pads to whole frames"
    assert np.abs(found[5000:15_000, 0]).max() == pytest.approx(0.5, abs=0.03)


def bad_files(folder: Path) -> dict[str, tuple[bytes, str]]:
    wav = io.BytesIO()
    soundfile.write(wav, np.zeros(16_000), 16_000, format="WAV")
    one = io.BytesIO()
    soundfile.write(one, np.zeros(1), 16_000, format="WAV")
    none = io.BytesIO()
    soundfile.write(none, np.zeros(0), 16_000, format="WAV")
    return {
        "empty": (b"", "is empty"),
        "text": (b"this is not sound at all\n" * 20, "can't be read as sound"),
        "header only": (wav.getvalue()[:20], "can't be read as sound|holds no samples"),
        "one sample": (one.getvalue(), r"too short: 1 samples .* at least 0\.1 s"),
        "no sample": (none.getvalue(), "holds no samples"),
        "zeros": (bytes(4096), "can't be read as sound"),
    }


@pytest.mark.parametrize("kind", bad_files(Path()))
def test_bad_files_are_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    content, message = bad_files(tmp_path)[kind]
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(AudioFileError, match=message):
        samples_of(FileSource(path))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match="There is no file"):
        FileSource(tmp_path / "nothing.wav")
    with pytest.raises(AudioFileError, match="is a folder"):
        FileSource(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers(write_wav, value: float) -> None:
    samples = np.zeros(32_000, np.float32)
    samples[20_000] = value
    with pytest.raises(AudioFileError, match=r"no numbers .* from about 1\.\d s"):
        samples_of(FileSource(write_wav("nan.wav", samples)))
    with pytest.raises(AudioFileError, match="no numbers"):
        samples_of(ArraySource(samples, 16_000))


def test_values_that_are_absurd(write_wav) -> None:
    samples = np.zeros(32_000, np.float32)
    samples[20_000] = -3e30
    with pytest.raises(AudioFileError, match=r"as large as 3e\+30 \(full scale is 1\)"):
        samples_of(FileSource(write_wav("huge.wav", samples)))
    samples[20_000] = 40_000  # integers, written as float by mistake: loud, but sound
    samples_of(FileSource(write_wav("loud.wav", samples)))


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "flac"])
def test_decoding_does_not_depend_on_the_block(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 60_000)
    soundfile.write(path, noise, 22_050)
    whole = samples_of(FileSource(path, block=100_000))
    for block in (37, 480, 4096):
        assert np.array_equal(samples_of(FileSource(path, block=block)), whole)


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.wav")
    for path in (tmp_path / "fifo.wav", Path("/dev/zero")):
        with pytest.raises(AudioFileError, match="is no regular file"):
            FileSource(path)
    with pytest.raises(AudioFileError, match="can't be opened: .*null"):
        FileSource("a\0b")


def test_a_name_that_is_no_utf8(tmp_path: Path, write_wav) -> None:
    path = write_wav("a.wav", np.zeros(16_000, np.float32))
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    path.rename(odd)
    assert len(samples_of(FileSource(odd))) == 16_000


def test_damaged_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 160_000), 16_000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(bytes(data))
    with pytest.raises(AudioFileError, match="is damaged after|can't be read"):
        samples_of(FileSource(path))


def test_unlikely_rate(write_wav) -> None:
    with pytest.raises(AudioFileError, match="claims a sample rate of 10 Hz"):
        FileSource(write_wav("slow.wav", np.zeros(100, np.float32), rate=10))


def test_limited_source_ends_on_the_sample() -> None:
    source = LimitedSource(ArraySource(np.zeros(16_000, np.float32), 16_000, block=999), 0.5)
    assert len(samples_of(source)) == 8000
    assert source.frames == 8000


def test_paced_source_takes_its_time() -> None:
    source = PacedSource(ArraySource(np.zeros(4000, np.float32), 16_000, block=500))
    begin = time.monotonic()
    assert len(samples_of(source)) == 4000
    assert time.monotonic() - begin >= 0.25


def test_wav_through_a_pipe() -> None:
    wav = io.BytesIO()
    tone = (0.5 * np.sin(np.arange(40_000) / 10)).astype(np.float32)
    soundfile.write(wav, tone, 16_000, format="WAV", subtype="FLOAT")
    reader, writer = os.pipe()

    def feed() -> None:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(wav.getvalue())

    thread = threading.Thread(target=feed)
    thread.start()
    found = samples_of(PipeSource(reader))
    thread.join()
    assert np.array_equal(found[:, 0], tone)


def test_a_pipe_that_carries_no_sound() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"no sound here")
    os.close(writer)
    with pytest.raises(AudioFileError, match="standard input can't be read as sound"):
        PipeSource(reader)
