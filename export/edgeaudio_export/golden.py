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


def on_grid(window: F32) -> NDArray[np.int16]:
    """Rounded to int16, so that every machine starts from the same samples."""
    return np.round(np.clip(window, -1, 32767 / 32768) * 32768).astype(np.int16)
