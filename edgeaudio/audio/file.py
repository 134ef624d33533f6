"""Recordings from a file or from standard input, streamed: memory does not grow with length."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import soundfile

from edgeaudio.audio.source import Source, check_format, check_length, check_values
from edgeaudio.errors import AudioFileError
from edgeaudio.types import Block

FORMATS = "WAV, FLAC, OGG or MP3"
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")

_BLOCK = 16_384
_MAX_VALUES = 2**20  # per block, over all channels, however many a header claims

_WAIT_SECONDS = 0.25  # of sound that one read waits for: signals are only seen in between
_READ_SECONDS = 2.0  # of sound that is taken at once when we are behind
_BYTES = {"PCM_U8": 1, "PCM_S8": 1, "ULAW": 1, "ALAW": 1, "PCM_16": 2, "PCM_24": 3}
_BYTES |= {"PCM_32": 4, "FLOAT": 4}
_WIDEST = 8  # bytes of a sample, whatever the format


class FileSource(Source):
    """A recording of any rate and channel count, in any format that libsndfile reads.

    block: frames handed over at once.
    Raises AudioFileError if the file is missing, unreadable, empty or too short.
    """

    formats = FORMATS
    dtype = "float32"  # what blocks hold; a comparison may want float64

    def __init__(self, path: str | Path, *, block: int = _BLOCK) -> None:
        self.name = str(path)
        _check_path(Path(path))
        self._open(os.fsencode(path), block)
        self.frames = self._file.frames
        try:
            check_length(self._file.frames, self.sample_rate, self.name)
        except AudioFileError:
            self.close()
            raise

    def _open(self, file: bytes | int, block: int) -> None:
        try:
            self._file = _Forward(file)
        except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
            raise AudioFileError(
                f"{self.name} can't be read as sound ({_reason(error)}); expected {self.formats}."
            ) from None
        self.sample_rate = self._file.samplerate
        self.channels = self._file.channels
        check_format(self.sample_rate, self.channels, self.name)
        self._block = max(1, min(block, _MAX_VALUES // self.channels))

    def blocks(self) -> Iterator[Block]:  # noqa: D102
        start = 0
        while True:
            try:
                samples = self._file.read(self._block, dtype=self.dtype, always_2d=True)
            except (soundfile.LibsndfileError, RuntimeError) as error:
                raise AudioFileError(
                    f"{self.name} is damaged after {start / self.sample_rate:.1f} s "
                    f"({_reason(error)})."
                ) from None
            if not len(samples):
                break
            check_values(samples, start / self.sample_rate, self.name)
            yield Block(samples, start)
            start += len(samples)
        # A header may promise more than the file holds.
        check_length(start, self.sample_rate, self.name)

    def close(self) -> None:  # noqa: D102
        self._file.close()


class PipeSource(FileSource):
    """A WAV (or AU) stream on a file descriptor, as `arecord` and `sox` write it to a pipe.

    A read waits until it is complete. So each asks for just what completes the next window,
    or for what is there already, where that is more.
    Raises AudioFileError if what arrives is no such stream.
    """

    formats = "a WAV or AU stream"

    def __init__(self, descriptor: int = 0, *, block: int = 1024) -> None:
        self.name = "standard input"
        self._descriptor = descriptor
        self._open(descriptor, block)
        width = _BYTES.get(self._file.subtype, _WIDEST)
        self._frame_bytes = width * self.channels

    def expect(self, frames: int) -> None:  # noqa: D102
        there = min(_waiting(self._descriptor) // self._frame_bytes, self._limit(_READ_SECONDS))
        self._block = max(1, there, min(frames, self._limit(_WAIT_SECONDS)))

    def _limit(self, seconds: float) -> int:
        return min(int(seconds * self.sample_rate), _MAX_VALUES // self.channels)


def _waiting(descriptor: int) -> int:
    """Bytes that can be read without waiting; 0 where the system does not say."""
    try:
        answer = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
    except OSError:
        return 0
    return max(0, int.from_bytes(answer, sys.byteorder, signed=True))


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """Reads from front to back only.

    After each read, soundfile seeks to where it is already; that restarts the decoder of an
    MP3, whose samples would then depend on the size of the blocks.
    """

    def seekable(self) -> bool:
        return False


def _check_path(path: Path) -> None:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise AudioFileError(f"{path} is a folder, not a recording.")
        if not stat.S_ISREG(status.st_mode):
            raise AudioFileError(f"{path} is no regular file; read a stream with --source -.")
        path.open("rb").close()
    except (FileNotFoundError, NotADirectoryError):
        raise AudioFileError(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioFileError(f"{path} can't be opened: {reason}.") from None
    if status.st_size == 0:
        raise AudioFileError(f"{path} is empty (0 bytes).")


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    return str(text).strip().rstrip(".")
