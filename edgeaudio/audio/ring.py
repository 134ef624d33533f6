"""The ring buffer between the thread that empties the sound card and ours."""

from __future__ import annotations

import threading

import numpy as np

from edgeaudio.types import F32, Block

_SLICES = 4  # in which patience is counted


class RingBuffer:
    """Holds `capacity` frames of float32 [frames, channels]; one writer, one reader.

    Memory is taken once. The reader is woken once there is as much as it asked for, not at
    every write. When it is too slow, what arrives is dropped, counted in `lost`, and the next
    block says that there was a gap.
    """

    def __init__(self, capacity: int, channels: int) -> None:
        self._data = np.zeros((capacity, channels), np.float32)
        self._out = np.empty((capacity, channels), np.float32)
        self._written = 0  # frames put in since the beginning
        self._read = 0  # frames taken out since the beginning
        self._lost_before_write = 0  # dropped so far: index of a frame = its position + this
        self._lost_before_read = 0
        self._begun = False  # whether anything was read
        self._before_start = 0  # frames dropped before that
        self._gap_at: list[tuple[int, int]] = []  # (position, lost before it), not yet reached
        self._least = 0  # what the reader waits for; 0 while it does not
        self._news = False  # that it asked is not yet known to the writer
        self._closed = False
        lock = threading.RLock()
        self._arrived = threading.Condition(lock)  # the reader waits here
        self._asked = threading.Condition(lock)  # the writer waits here

    @property
    def lost(self) -> int:
        """Frames lost so far: because the reader was too slow, or before they came here."""
        return self._lost_before_write + self._before_start

    def write(self, samples: F32, *, gap: bool = False, missing: int = 0) -> None:
        """Copy `samples` in. gap: sound was lost before them, elsewhere; `missing` frames of it."""
        with self._arrived:
            free = len(self._data) - (self._written - self._read)
            if gap:
                self._lost_before_write += missing
                self._mark_gap()
            if len(samples) > free and not self._begun:
                self._drop_oldest(len(samples) - free)
                free = len(self._data) - (self._written - self._read)
            if len(samples) > free:
                self._lost_before_write += len(samples)
                self._mark_gap()
            else:
                self._copy_in(samples)
            if self._ready():
                self._arrived.notify()

    def read(self, patience: float, least: int = 1) -> Block | None:
        """What there is up to the next gap, once `least` frames are there or the ring is closed.

        The block is a view of one buffer, valid until the next read. None once nothing at all
        has arrived for `patience` seconds. Those are counted in slices of our own waiting, so
        that a process that was stopped does not blame the microphone.
        """
        with self._arrived:
            self._begun = True
            self._least = max(1, min(least, len(self._data)))
            if not self._ready():
                self._news = True
                self._asked.notify()
            idle = 0
            while not self._ready() and idle < _SLICES and patience > 0:
                before = self._written
                self._arrived.wait(patience / _SLICES)
                idle = idle + 1 if self._written == before else 0
            ready, self._least = self._ready(), 0
            if not ready or self._written == self._read:
                return None
            gap = bool(self._gap_at) and self._gap_at[0][0] == self._read
            if gap:
                self._lost_before_read = self._gap_at.pop(0)[1]
            end = self._gap_at[0][0] if self._gap_at else self._written
            samples = self._copy_out(min(end, self._written))
            start = self._read + self._lost_before_read
            self._read += len(samples)
            return Block(samples, start, gap)

    def missing(self) -> int:
        """For the writer: frames until the waiting reader is served; 0 if it is not waiting."""
        with self._asked:
            self._news = False
            return max(0, self._least - (self._written - self._read))

    def rest(self, seconds: float) -> None:
        """For the writer: sleep until the reader asks, the ring is closed, or so long at most."""
        with self._asked:
            if not (self._news or self._closed):
                self._asked.wait(seconds)

    def close(self) -> None:
        """Wake both sides; the reader gets what is left, then None."""
        with self._arrived:
            self._closed = True
            self._arrived.notify()
            self._asked.notify()

    @property
    def closed(self) -> bool:
        """Whether nothing more will be written."""
        return self._closed

    def _drop_oldest(self, frames: int) -> None:
        """Nobody has read yet: the newest is of more use. What is left begins with a gap."""
        oldest = min(self._read + frames, self._written)
        passed = [lost for position, lost in self._gap_at if position <= oldest]
        self._gap_at = [mark for mark in self._gap_at if mark[0] > oldest]
        self._gap_at.insert(0, (oldest, passed[-1] if passed else self._lost_before_read))
        self._before_start += oldest - self._read
        self._read = oldest

    def _ready(self) -> bool:
        return self._written - self._read >= self._least or self._closed

    def _mark_gap(self) -> None:
        mark = (self._written, self._lost_before_write)
        if self._gap_at and self._gap_at[-1][0] == self._written:
            self._gap_at[-1] = mark
        else:
            self._gap_at.append(mark)

    def _copy_in(self, samples: F32) -> None:
        at = self._written % len(self._data)
        first = min(len(samples), len(self._data) - at)
        self._data[at : at + first] = samples[:first]
        self._data[: len(samples) - first] = samples[first:]
        self._written += len(samples)

    def _copy_out(self, end: int) -> F32:
        at, count = self._read % len(self._data), end - self._read
        first = min(count, len(self._data) - at)
        self._out[:first] = self._data[at : at + first]
        self._out[first:count] = self._data[: count - first]
        return self._out[:count]
