"""Blocks of a source to mono blocks at the model's rate, as a stream.

Channels are averaged, then resampled with soxr HQ. The result does not depend on how the
sound was cut into blocks: the mean is taken sample by sample, and soxr's stream is
block-invariant to the bit. Offline and live sound both pass through here, and so did the
training data.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edgeaudio.types import F32, Block

if TYPE_CHECKING:
    import soxr

QUALITY = "HQ"

_STEP_SECONDS = 0.005
"""How often to look again while soxr, which works in pieces of its own, keeps a window back."""


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
        self._stream = self._new_stream()

    def _new_stream(self) -> soxr.ResampleStream | None:
        source, target = self._rates
        if source == target:
            return None
        import soxr  # a megabyte that a microphone at the model's own rate can do without

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
        """How many frames of the source it may take until so many samples come out; at least 1.

        That many, and maybe a few milliseconds more.
        """
        if self._stream is None:
            return max(1, samples)
        source, target = self._rates
        frames = math.ceil((samples - self._ahead) * source / target)
        return max(frames, math.ceil(_STEP_SECONDS * source))

    def flush(self) -> Block:
        """What was kept back, at the end of the source."""
        if self._stream is None:
            return self._emit(np.zeros(0, np.float32))
        return self._emit(self._stream.resample_chunk(np.zeros(0, np.float32), last=True))

    def _emit(self, samples: F32, *, gap: bool = False) -> Block:
        start = self._next
        self._next += len(samples)
        return Block(samples, start, gap)


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
