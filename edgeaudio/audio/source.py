"""What every source of sound is, and the one that needs no sound card: an array."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType

import numpy as np

from edgeaudio.errors import AudioFileError
from edgeaudio.types import F32, Block

MIN_SECONDS = 0.1
"""Shorter recordings are refused: there is nothing in them to hear."""

MAX_VALUE = 1e6
"""Floating-point samples may exceed 1, but a value beyond this is no sound (120 dB over it)."""

_RATES = (1000, 768_000)


class Source(ABC):
    """Hands over blocks of float32 [frames, channels], in order, until it ends or is closed.

    sample_rate: Hz. channels: count. frames: total number of frames where it is known ahead.
    name: for messages.
    """

    sample_rate: int
    channels: int
    frames: int | None = None
    name: str = ""

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """The blocks. Raises AudioFileError or MicrophoneError when the sound can't be had.

        A block may be a view of a buffer that is used again: valid until the next one.
        """

    def expect(self, frames: int) -> None:  # noqa: B027  # a file need not care
        """Of the next block, so many frames complete a window, or are worth waking up for.

        A source in real time hands over a block as soon as it has them.
        """

    def close(self) -> None:  # noqa: B027  # most sources have nothing to let go of
        """Let go of the device or file. May be called more than once."""

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class ArraySource(Source):
    """Samples in memory: float [frames] or [frames, channels] in [-1, 1], as test double and API.

    block: frames handed over at once, all at once if None.
    Raises AudioFileError for values that are no sound.
    """

    def __init__(
        self, samples: F32, sample_rate: int, *, block: int | None = None, name: str = "array"
    ) -> None:
        samples = np.asarray(samples, dtype=np.float32)
        self._samples = samples[:, None] if samples.ndim == 1 else samples
        check_format(sample_rate, self._samples.shape[1], name)
        self.sample_rate = sample_rate
        self.channels = self._samples.shape[1]
        self.frames = len(self._samples)
        self.name = name
        self._block = block or max(self.frames, 1)

    def blocks(self) -> Iterator[Block]:  # noqa: D102
        for start in range(0, len(self._samples), self._block):
            samples = self._samples[start : start + self._block]
            check_values(samples, start / self.sample_rate, self.name)
            yield Block(samples, start)


class LimitedSource(Source):
    """The first `seconds` of another source."""

    def __init__(self, source: Source, seconds: float) -> None:
        self._source = source
        self._limit = math.ceil(seconds * source.sample_rate)
        self.sample_rate = source.sample_rate
        self.channels = source.channels
        self.frames = None if source.frames is None else min(source.frames, self._limit)
        self.name = source.name
        self._left = self._limit

    def expect(self, frames: int) -> None:  # noqa: D102
        self._source.expect(max(1, min(frames, self._left)))

    def blocks(self) -> Iterator[Block]:  # noqa: D102
        for block in self._source.blocks():
            left = self._limit - block.start
            self._left = left - len(block.samples)
            if left > 0:
                yield Block(block.samples[:left], block.start, block.gap)
            if left <= len(block.samples):
                return

    def close(self) -> None:  # noqa: D102
        self._source.close()


class PacedSource(Source):
    """Another source, no faster than real time (monotonic clock), which begins here and now.

    Where it is told what to expect, it cuts the other's blocks there; what is overdue is handed
    over at once.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.sample_rate = source.sample_rate
        self.channels = source.channels
        self.frames = source.frames
        self.name = source.name
        self._begin = time.monotonic()
        self._expected: int | None = None

    def expect(self, frames: int) -> None:  # noqa: D102
        self._expected = frames

    def blocks(self) -> Iterator[Block]:  # noqa: D102
        for block in self._source.blocks():
            done, gap = 0, block.gap
            while done < len(block.samples):
                start = block.start + done
                overdue = int((time.monotonic() - self._begin) * self.sample_rate) - start
                wanted = max(self._expected or len(block.samples), overdue)
                samples = block.samples[done : done + wanted]
                done += len(samples)
                # A sample exists once it has been heard.
                due = self._begin + (start + len(samples)) / self.sample_rate
                time.sleep(max(0.0, due - time.monotonic()))
                yield Block(samples, start, gap)
                gap = False

    def close(self) -> None:  # noqa: D102
        self._source.close()


def check_format(sample_rate: int, channels: int, name: str) -> None:
    """Raise AudioFileError for a rate or channel count that no recording has."""
    if not _RATES[0] <= sample_rate <= _RATES[1]:
        raise AudioFileError(
            f"{name} claims a sample rate of {sample_rate} Hz; expected {_RATES[0]} to {_RATES[1]}."
        )
    if channels < 1:
        raise AudioFileError(f"{name} has no channels.")


def check_values(samples: F32, seconds: float, name: str) -> None:
    """Raise AudioFileError if a value is NaN, infinite or absurd. `seconds`: the block's start."""
    if not len(samples):
        return
    largest = max(abs(float(samples.min())), abs(float(samples.max())))  # NaN if there is any
    if not np.isfinite(largest):
        wrong = "that are no numbers (NaN or infinity)"
    elif largest > MAX_VALUE:
        wrong = f"as large as {largest:.2g} (full scale is 1)"
    else:
        return
    raise AudioFileError(
        f"{name} holds samples {wrong}, from about {seconds:.1f} s on; record or convert it anew."
    )


def check_length(frames: int, sample_rate: int, name: str) -> None:
    """Raise AudioFileError for less than `MIN_SECONDS` of sound."""
    if frames == 0:
        raise AudioFileError(f"{name} holds no samples.")
    if frames < MIN_SECONDS * sample_rate:
        raise AudioFileError(
            f"{name} is too short: {frames} samples ({frames / sample_rate:.3f} s), "
            f"expected at least {MIN_SECONDS} s."
        )
