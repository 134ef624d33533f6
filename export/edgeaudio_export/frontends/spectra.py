"""What the front-ends have in common in numpy: frames, their power, mel filters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeaudio.types import F64

Warp = Callable[[F64], F64]


def frame_count(samples: int, frame: int, hop: int) -> int:
    """How many whole frames lie in so many samples."""
    return max(0, 1 + (samples - frame) // hop)


def power(frames: F64, window: F64, n_fft: int) -> F64:
    """The same in numpy: frames [..., frame] -> [..., n_fft/2 + 1]."""
    return np.square(np.abs(np.fft.rfft(frames * window, n_fft)))


def frames_of(samples: F64, frame: int, hop: int) -> F64:
    """Whole frames [..., T, frame] of samples [..., n], as a view."""
    return np.lib.stride_tricks.sliding_window_view(samples, frame, axis=-1)[..., ::hop, :]


# Mel scales: from Hz to mel and back.


def slaney(hz: F64) -> F64:
    """Slaney's scale (Auditory Toolbox; librosa's default): linear to 1 kHz, then logarithmic."""
    log = 15 + np.log(np.maximum(hz, 1000.0) / 1000) * 27 / np.log(6.4)
    return np.where(hz < 1000, hz * 3 / 200, log)


def slaney_to_hz(mel: F64) -> F64:
    """Inverse of `slaney`."""
    above = 1000 * np.exp((np.maximum(mel, 15.0) - 15) * np.log(6.4) / 27)
    return np.where(mel < 15, mel * 200 / 3, above)


def htk(hz: F64) -> F64:
    """HTK's scale."""
    return 2595 * np.log10(1 + hz / 700)


def htk_to_hz(mel: F64) -> F64:
    """Inverse of `htk`."""
    return 700 * (10 ** (mel / 2595) - 1)


def triangles(edges: F64, bins: F64) -> F64:
    """Triangles of peak 1 between successive `edges` [bands + 2]: weights [len(bins), bands]."""
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    at = bins[:, None]
    rising, falling = (at - low) / (centre - low), (high - at) / (high - centre)
    return np.maximum(0.0, np.minimum(rising, falling))


def area_normalised(edges_hz: F64, bins_hz: F64) -> F64:
    """Triangles linear in Hz of area 1 (in Hz): peak 2 / (upper edge - lower edge)."""
    return np.asarray(triangles(edges_hz, bins_hz) * (2 / (edges_hz[2:] - edges_hz[:-2])))


def mel_edges(low_hz: float, high_hz: float, bands: int, warp: Warp, back: Warp) -> F64:
    """Edges in Hz [bands + 2] of bands that are equally wide on a mel scale."""
    ends = warp(np.array([low_hz, high_hz]))
    return back(np.linspace(ends[0], ends[1], bands + 2))


def bin_frequencies(sample_rate: int, n_fft: int) -> F64:
    """Hz of each bin of a real DFT, [n_fft/2 + 1]."""
    return np.asarray(np.arange(n_fft // 2 + 1) * (sample_rate / n_fft))
