"""Mono blocks at the model's rate to windows, however the blocks are cut."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain

import numpy as np

from edgeaudio.audio.resample import MonoResampler
from edgeaudio.audio.source import Source
from edgeaudio.types import Block, Window, WindowSpec


class Windower:
    """Cuts a stream into overlapping windows; memory is one window, taken once.

    The samples of a window are a view of it: valid until the next window is asked for.
    """

    def __init__(self, spec: WindowSpec) -> None:
        self._spec = spec
        self._buffer = np.zeros(spec.window, np.float32)
        self._filled = 0
        self._covered = 0  # of the filled samples, those that a window has held already
        self._skip = 0  # samples between windows, where the hop is longer than the window
        self._start = 0
        self._any = False
        self._out = False  # the buffer is with the one who asked for a window

    @property
    def missing(self) -> int:
        """Samples until the next window is complete; at least 1."""
        self._advance()
        return self._skip + self._spec.window - self._filled

    def push(self, block: Block) -> Iterator[Window]:
        """The windows that `block` completes."""
        if block.gap:
            self._restart(block.start)
        samples = block.samples
        while len(samples):
            self._advance()
            skipped = min(self._skip, len(samples))
            self._skip -= skipped
            samples = samples[skipped:]
            taken = min(self._spec.window - self._filled, len(samples))
            self._buffer[self._filled : self._filled + taken] = samples[:taken]
            self._filled += taken
            samples = samples[taken:]
            if self._filled == self._spec.window:
                yield self._emit()

    def flush(self) -> Iterator[Window]:
        """The padded last window, where there is one.

        A source shorter than a window always gives one; otherwise the tail policy decides.
        """
        self._advance()
        new = self._filled > self._covered
        if new and (not self._any or self._spec.tail == "pad"):
            self._buffer[self._filled :] = 0.0
            self._filled = self._spec.window
            yield self._emit()

    def _restart(self, start: int) -> None:
        self._start = start
        self._filled = self._covered = self._skip = 0
        self._out = False

    def _emit(self) -> Window:
        self._any = self._out = True
        return Window(self._buffer, self._start)

    def _advance(self) -> None:
        """Keep what the window that was handed out shares with the next one."""
        if not self._out:
            return
        kept = max(0, self._spec.window - self._spec.hop)
        self._buffer[:kept] = self._buffer[self._spec.window - kept :]
        self._filled = self._covered = kept
        self._skip = max(0, self._spec.hop - self._spec.window)
        self._start += self._spec.hop
        self._out = False


def cut(
    source: Source, spec: WindowSpec, *, pause: float = math.inf
) -> Iterator[tuple[Block, Iterator[Window]]]:
    """Each block of a source, mono and at the model's rate, with the windows that it completes.

    The source is told how much completes the next window, so that a live one hands it over at
    once; and not to collect sound for more than `pause` seconds. The windows of a block must be
    taken before the next block is asked for; blocks and windows are views of buffers, each
    valid until the next one. This is the one way from a source to windows, for training,
    offline and live use.
    """
    resampler = MonoResampler(source.sample_rate, spec.sample_rate)
    windower = Windower(spec)
    most = max(1.0, pause * source.sample_rate)
    source.expect(int(min(most, resampler.frames_for(windower.missing))))
    for raw in source.blocks():
        block = resampler.push(raw)
        yield block, windower.push(block)
        source.expect(int(min(most, resampler.frames_for(windower.missing))))
    rest = resampler.flush()
    yield rest, chain(windower.push(rest), windower.flush())


def passing_windows(source: Source, spec: WindowSpec) -> Iterator[Window]:
    """All windows of a source. Each is valid until the next one is asked for."""
    for _, windows in cut(source, spec):
        yield from windows


def windows_of(source: Source, spec: WindowSpec) -> Iterator[Window]:
    """All windows of a source, with samples of their own, for those who keep them."""
    for window in passing_windows(source, spec):
        yield Window(window.samples.copy(), window.start)
