"""Mono blocks at the model's rate to windows, however the blocks are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
        self._gap = False
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
        self._gap = True

    def _emit(self) -> Window:
        window = Window(self._buffer.copy(), self._start, self._gap)
        kept = max(0, self._spec.window - self._spec.hop)
        self._buffer[:kept] = self._buffer[self._spec.window - kept :]
        self._filled = self._covered = kept
        self._skip = max(0, self._spec.hop - self._spec.window)
        self._start += self._spec.hop
        self._gap = False
        self._any = True
        return window


def windows_of(
    source: Source, spec: WindowSpec, *, on_block: Callable[[Block], None] | None = None
) -> Iterator[Window]:
    """All windows of a source. `on_block` sees each mono block at the model's rate first.

    This is the one way from a source to windows, for training, offline and live use.
    """
    resampler = MonoResampler(source.sample_rate, spec.sample_rate)
    windower = Windower(spec)
    for raw in source.blocks():
        block = resampler.push(raw)
        if on_block:
            on_block(block)
        yield from windower.push(block)
    yield from windower.push(resampler.flush())
    yield from windower.flush()
