"""Windows for golden vectors: sounds that together exercise a front-end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeaudio.types import F32


def generated_windows(window: int, sample_rate: int) -> dict[str, F32]:
    """Noise, a sweep, a quiet hum and silence, each float32 [window], by name."""
    time = np.arange(window) / sample_rate
    rng = np.random.default_rng(20)
    top = 0.45 * sample_rate
    rate = np.log(top / 50) * sample_rate / window  # so that the sweep ends at `top`
    harmonics = 2 * np.pi * 50 * np.outer(np.arange(1, 8), time)
    return {
        "noise": (0.1 * rng.standard_normal(window)).clip(-1, 1).astype(np.float32),
        "sweep": (0.5 * np.sin(2 * np.pi * 50 * np.expm1(rate * time) / rate)).astype(np.float32),
        "hum": (0.003 * np.sin(harmonics) / np.arange(1, 8)[:, None]).sum(axis=0, dtype=np.float32),
        "silence": np.zeros(window, np.float32),
    }


def various_windows(window: int, sample_rate: int) -> list[F32]:
    """Noise of several colours and levels, and the above, each float32 [window].

    Between them they reach what recordings of one machine do not: every band loud, every band
    empty, sudden and steady.
    """
    rng = np.random.default_rng(21)
    frequency = np.maximum(np.fft.rfftfreq(window, 1 / sample_rate), 20)
    spectrum = np.fft.rfft(rng.standard_normal(window))
    found = []
    for slope, dbfs in ((0, -8), (0.5, -20), (1, -14), (0, -35), (0.5, -55), (1, -40)):
        noise = np.fft.irfft(spectrum / frequency**slope, window)
        found.append(noise / np.sqrt(np.mean(np.square(noise))) * 10 ** (dbfs / 20))
        spectrum = np.roll(spectrum, 1)
    clicks = found[1] * (np.arange(window) % (window // 4) < window // 100) * 4
    rising = found[0] * np.linspace(0, 1, window) ** 4
    every = [*found, clicks, rising]
    samples = [np.asarray(noise, np.float32).clip(-1, 1) for noise in every]
    return [*samples, *generated_windows(window, sample_rate).values()]


def on_grid(window: F32) -> NDArray[np.int16]:
    """Rounded to int16, so that every machine starts from the same samples."""
    return np.round(np.clip(window, -1, 32767 / 32768) * 32768).astype(np.int16)
