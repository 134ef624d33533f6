"""Sound to measure with: like a machine's, and the same everywhere."""

from __future__ import annotations

import numpy as np

from edgeaudio.types import F32


def machine_sound(seconds: float, sample_rate: int) -> F32:
    """A hum with harmonics in noise, about -20 dBFS RMS: float32 [n]."""
    count = max(1, round(seconds * sample_rate))
    time = np.arange(count) / sample_rate
    hum = sum(np.sin(2 * np.pi * 48.7 * k * time) / k for k in range(1, 9))
    noise = np.random.default_rng(5).standard_normal(count)
    return (0.05 * hum + 0.08 * noise).clip(-1, 1).astype(np.float32)
