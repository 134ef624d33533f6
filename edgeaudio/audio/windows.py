"""Mono blocks at the model's rate to windows, however the blocks are cut."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np

from edgeaudio.audio.resample import MonoResampler
from edgeaudio.audio.source import Source
from edgeaudio.types import Block, Window, WindowSpec


class Windower:
    """Cuts a stream into overlapping windows; memory is one window."""

    def __init__(self, spec: WindowSpec) -> None:
        self._spec = spec
        self._buffer = np.zeros(spec.window, np.float32)
        self._filled = 0
        self._covered = 0  # of the filled samples, those that a window has held already
        self._skip = 0  # samples between windows, where the hop is longer than the window
        self._start = 0
        self._any = False

    def push(self, block: Block) -> Iterator[Window]:
        """The windows that `block` completes."""
        if block.gap:
            self._restart(block.start)
        samples = block.samples
        while len(samples):
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
        new = self._filled > self._covered
        if new and (not self._any or self._spec.tail == "pad"):
            self._buffer[self._filled :] = 0.0
            self._filled = self._spec.window
            yield self._emit()

    def _restart(self, start: int) -> None:
        self._start = start
        self._filled = self._covered = self._skip = 0

    def _emit(self) -> Window:
        window = Window(self._buffer.copy(), self._start)
        kept = max(0, self._spec.window - self._spec.hop)
        self._buffer[:kept] = self._buffer[self._spec.window - kept :]
        self._filled = self._covered = kept
        self._skip = max(0, self._spec.hop - self._spec.window)
        self._start += self._spec.hop
        self._any = True
        return window


def cut(source: Source, spec: WindowSpec) -> Iterator[tuple[Block, Iterator[Window]]]:
    """Each block of a source, mono and at the model's rate, with the windows that it completes.

    The windows of a block must be taken before the next block is asked for. This is the one
    way from a source to windows, for training, offline and live use.
    """
    resampler = MonoResampler(source.sample_rate, spec.sample_rate)
    windower = Windower(spec)
    for raw in source.blocks():
        block = resampler.push(raw)
        yield block, windower.push(block)
    rest = resampler.flush()
    yield rest, chain(windower.push(rest), windower.flush())


def windows_of(source: Source, spec: WindowSpec) -> Iterator[Window]:
    """All windows of a source."""
    for _, windows in cut(source, spec):
        yield from windows
