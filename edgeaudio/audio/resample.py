"""Blocks of a source to mono blocks at the model's rate, as a stream.

Channels are averaged, then resampled with soxr HQ. The result does not depend on how the
sound was cut into blocks: the mean is taken sample by sample, and soxr's stream is
block-invariant to the bit. Offline and live sound both pass through here, and so did the
training data.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from edgeaudio.types import F32, Block

QUALITY = "HQ"

_STEP_SECONDS = 0.001
"""How often to look again while soxr keeps back what a window needs."""

_PROBE_STEPS_A_SECOND = 2000
_PROBE_PIECES = 4


def resampler_name() -> str:
    """What to write into a contract: the resampler with its version."""
    from importlib.metadata import version  # half a megabyte that listening can do without

    return f"soxr {version('soxr')} {QUALITY}"


class MonoResampler:
    """From [frames, channels] at `source_rate` to [frames] at `target_rate`, both in Hz.

    Blocks that come out may be views of what went in, or of one buffer: valid until the next.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        self._rates = (source_rate, target_rate)
        self._next = 0
        self._ahead = 0.0  # of what went in, what has not come out yet, in samples of the target
        self._mono = np.empty(0, np.float32)
        self._stream = _new_stream(*self._rates)

    def push(self, block: Block) -> Block:
        """What can be said so far; soxr keeps back a few milliseconds until more arrives.

        After a gap the filter starts afresh, at the index where the sound goes on. What it
        kept back is less than one window and is given up: no window may cross a gap.
        """
        if block.gap:
            source, target = self._rates
            self._next = max(self._next, round(block.start * target / source))
            self._stream = _new_stream(*self._rates)
            self._ahead = 0.0
        if len(self._mono) < len(block.samples):
            self._mono = np.empty(len(block.samples), np.float32)
        mono = mix(block.samples, self._mono[: len(block.samples)])
        if self._stream is not None:
            source, target = self._rates
            self._ahead += len(mono) * target / source
            mono = self._stream.resample_chunk(mono)
            self._ahead -= len(mono)
        return self._emit(mono, gap=block.gap)

    def frames_for(self, samples: int) -> int:
        """How many frames of the source it takes until so many samples come out; at least 1.

        An estimate, a millisecond or so too low where the rates differ.
        """
        if self._stream is None:
            return max(1, samples)
        source, target = self._rates
        fullest, piece = _pieces(source, target)
        further = max(0, math.ceil((samples - 2) / piece) - 1)  # lengths differ by a sample or so
        frames = (fullest - self._ahead + further * piece) * source / target
        return max(math.floor(frames), math.ceil(_STEP_SECONDS * source))

    def flush(self) -> Block:
        """What was kept back, at the end of the source."""
        if self._stream is None:
            return self._emit(np.zeros(0, np.float32))
        return self._emit(self._stream.resample_chunk(np.zeros(0, np.float32), last=True))

    def _emit(self, samples: F32, *, gap: bool = False) -> Block:
        start = self._next
        self._next += len(samples)
        return Block(samples, start, gap)


def _new_stream(source: int, target: int) -> Any:
    """A soxr.ResampleStream, or None where there is nothing to do."""
    if source == target:
        return None
    import soxr  # a megabyte that a microphone at the model's own rate can do without

    return soxr.ResampleStream(source, target, 1, dtype="float32", quality=QUALITY)


@cache
def _pieces(source: int, target: int) -> tuple[float, float]:
    """soxr gives samples in pieces: what it holds when one comes out, and the length of one.

    Both in samples of the target, found by trying: they depend on its version and the rates.
    """
    stream = _new_stream(source, target)
    silence = np.zeros(max(1, source // _PROBE_STEPS_A_SECOND), np.float32)
    held = 0.0
    found: list[tuple[float, int]] = []
    while len(found) < _PROBE_PIECES:
        held += len(silence) * target / source
        if piece := len(stream.resample_chunk(silence)):
            found.append((held, piece))
            held -= piece
    # The first one is longer to come.
    return min(h for h, _ in found[1:]), float(np.mean([n for _, n in found[1:]]))


def mix(samples: F32, out: F32 | None = None) -> F32:
    """Mean over channels: float32 [frames, channels] -> [frames], written to `out` if given.

    One channel passes as it is, as a view. Several are added one after the other, since numpy's
    own mean may change its order of summation with the size of the block.
    """
    channels = samples.shape[1]
    if channels == 1:
        return samples[:, 0]
    total = np.add(samples[:, 0], samples[:, 1], out=out)
    for channel in range(2, channels):
        total += samples[:, channel]
    total /= np.float32(channels)
    return total
