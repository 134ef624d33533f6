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


def test_paced_source_begins_when_it_is_made_and_catches_up() -> None:
    source = PacedSource(ArraySource(np.arange(8000, dtype=np.float32), 16_000))
    source.expect(100)
    time.sleep(0.1)
    first, *others = source.blocks()
    assert len(first.samples) >= 1600, "overdue: not in pieces"
    pieces = [first.samples, *(b.samples for b in others)]
    assert np.array_equal(np.concatenate(pieces)[:, 0], np.arange(8000))
    assert others[0].start == len(first.samples)


def test_paced_source_cuts_blocks_where_it_is_told() -> None:
    source = PacedSource(ArraySource(np.zeros(1600, np.float32), 16_000, block=1000))
    source.expect(700)
    starts = []
    for block in source.blocks():
        late = time.monotonic() - source._begin - (block.start + len(block.samples)) / 16_000
        assert late >= 0, "no sample before it was heard"
        starts.append(block.start)
    assert starts[0] == 0
    assert 1000 in starts, "it does not wait for the other's next block"


def test_limited_source_expects_no_more_than_it_lets_through() -> None:
    class Inner(ArraySource):
        expected = 0

        def expect(self, frames: int) -> None:
            self.expected = frames

    inner = Inner(np.zeros(16_000, np.float32), 16_000, block=1000)
    source = LimitedSource(inner, 0.1)
    source.expect(5000)
    assert inner.expected == 1600
    blocks = source.blocks()
    next(blocks)
    source.expect(5000)
    assert inner.expected == 600


def wav_bytes(samples: np.ndarray, subtype: str) -> bytes:
    wav = io.BytesIO()
    soundfile.write(wav, samples, 16_000, format="WAV", subtype=subtype)
    return wav.getvalue()


@pytest.mark.parametrize(("subtype", "frame"), [("PCM_16", 2), ("PCM_24", 3), ("FLOAT", 4)])
def test_a_slow_writer_is_heard_as_soon_as_it_wrote_enough(subtype: str, frame: int) -> None:
    """The rest of the stream is only written once the window before it has arrived."""
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 4000).astype(np.float32)
    data = wav_bytes(samples, subtype)
    (found, _) = soundfile.read(io.BytesIO(data), dtype="float32")
    reader, writer = os.pipe()
    header = len(data) - 4000 * frame
    os.write(writer, data[:header])
    source = PipeSource(reader)
    blocks, heard = None, 0
    for end in (700, 701, 2000, 3999, 4000):
        os.write(writer, data[header + heard * frame : header + end * frame])
        source.expect(end - heard)
        blocks = blocks or source.blocks()
        block = next(blocks)
        assert (block.start, len(block.samples)) == (heard, end - heard)
        assert np.array_equal(block.samples[:, 0], found[heard:end])
        heard = end
    os.close(writer)
    source.close()


def test_what_waits_in_a_pipe_is_taken_at_once() -> None:
    reader, writer = os.pipe()
    os.write(writer, wav_bytes(np.zeros(20_000, np.float32), "PCM_16"))
    source = PipeSource(reader)
    source.expect(100)
    assert len(next(source.blocks()).samples) > 19_000
    os.close(writer)
    source.close()


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
