"""Windows to measure with: recordings, or else noises and tones that are made here."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from edgeaudio.audio.file import SUFFIXES, FileSource
from edgeaudio.audio.windows import windows_of
from edgeaudio.types import WindowSpec


def windows(folder: Path | None, part: int, count: int, window: int, rate: int) -> np.ndarray:
    """At most `count` windows, float32 [N, window] in [-1, 1].

    folder: of recordings, each of which gives its first window. part: 0 or 1, which have no
    window in common.
    """
    if folder is None:
        return np.stack([_made(2 * number + part, window, rate) for number in range(count)])
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)[part::2]
    files = files[:: max(1, len(files) // count)]
    spec = WindowSpec(rate, window, window)
    found = [next(windows_of(FileSource(path), spec)).samples for path in islice(files, count)]
    return np.stack(found)


def _made(number: int, window: int, rate: int) -> np.ndarray:
    """Noise of some colour, and harmonics of some tone that rises or falls."""
    rng = np.random.default_rng(number)
    time = np.arange(window) / rate
    spectrum = np.fft.rfft(rng.standard_normal(window))
    frequency = np.maximum(np.fft.rfftfreq(window, 1 / rate), 20)
    noise = np.fft.irfft(spectrum / frequency ** rng.uniform(0, 1.2), window)
    tone, glide = rng.uniform(40, 2000), rng.uniform(-1, 1)
    phase = 2 * np.pi * tone * np.expm1(glide * time) / glide
    partials = sum(np.sin(k * phase) / k ** rng.uniform(0.3, 1.5) for k in range(1, 9))
    beat = 1 + rng.uniform(0, 1) * np.sin(2 * np.pi * rng.uniform(1, 20) * time)
    mixed = noise / noise.std() + rng.uniform(0, 3) * beat * partials
    return (10 ** rng.uniform(-2, -0.3) * mixed / np.abs(mixed).max()).astype(np.float32)
