"""Blocks of a source to mono blocks at the model's rate, as a stream.

Channels are averaged, then resampled with soxr HQ. The result does not depend on how the
sound was cut into blocks: the mean is taken sample by sample, and soxr's stream is
block-invariant to the bit. Offline and live sound both pass through here, and so did the
training data.
"""

from __future__ import annotations

import numpy as np
import soxr

from edgeaudio.types import F32, Block

QUALITY = "HQ"


def resampler_name() -> str:
    """What to write into a contract: the resampler with its version."""
    from importlib.metadata import version  # half a megabyte that listening can do without

    return f"soxr {version('soxr')} {QUALITY}"


class MonoResampler:
    """From [frames, channels] at `source_rate` to [frames] at `target_rate`, both in Hz."""

    def __init__(self, source_rate: int, target_rate: int) -> None:
        self._rates = (source_rate, target_rate)
        self._next = 0
        self._stream = self._new_stream()

    def _new_stream(self) -> soxr.ResampleStream | None:
        source, target = self._rates
        if source == target:
            return None
        return soxr.ResampleStream(source, target, 1, dtype="float32", quality=QUALITY)

    def push(self, block: Block) -> Block:
        """What can be said so far; soxr keeps back a few milliseconds until more arrives.

        After a gap the filter starts afresh, at the index where the sound goes on. What it
        kept back is less than one window and is given up: no window may cross a gap.
        """
        if block.gap:
            source, target = self._rates
            self._next = max(self._next, round(block.start * target / source))
            self._stream = self._new_stream()
        mono = mix(block.samples)
        if self._stream is not None:
            mono = self._stream.resample_chunk(mono)
        return self._emit(mono, gap=block.gap)

    def flush(self) -> Block:
        """What was kept back, at the end of the source."""
        if self._stream is None:
            return self._emit(np.zeros(0, np.float32))
        return self._emit(self._stream.resample_chunk(np.zeros(0, np.float32), last=True))

    def _emit(self, samples: F32, *, gap: bool = False) -> Block:
        start = self._next
        self._next += len(samples)
        return Block(samples, start, gap)


def mix(samples: F32) -> F32:
    """Mean over channels: float32 [frames, channels] -> [frames].

    Added one channel after the other, since numpy's own mean may change its order of
    summation with the size of the block.
    """
    total = samples[:, 0].copy()
    for channel in range(1, samples.shape[1]):
        total += samples[:, channel]
    total /= np.float32(samples.shape[1])
    return total
