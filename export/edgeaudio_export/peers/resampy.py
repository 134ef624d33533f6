"""resampy 0.2's `kaiser_best`, as the peers' embeddings were computed with it.

A windowed sinc (64 zero crossings of 512 table points each, Kaiser window, linear interpolation
in the table), evaluated at each output sample. Its two peculiarities are kept, since embeddings
move by up to some percent with the resampler: for down-sampling the step through the table is
truncated to a whole number of points, and time is a running sum. resampy 0.3 and later compute
other numbers.
"""

from __future__ import annotations

import numpy as np

from edgeaudio.types import F64

ZERO_CROSSINGS = 64
POINTS = 512  # of the table, a zero crossing
ROLLOFF = 0.9475937167399596
BETA = 14.769656459379492

_CHUNK = 4096  # output samples at once: bounds memory


def resample(samples: F64, source_rate: int, target_rate: int) -> F64:
    """Mono samples [n] at `source_rate` -> [int(n * target / source)] at `target_rate`, in Hz."""
    samples = np.asarray(samples, np.float64)
    if source_rate == target_rate:
        return samples
    ratio = target_rate / source_rate
    count = int(len(samples) * ratio)
    scale = min(1.0, ratio)
    table = scale * _half_window()
    slope = np.diff(table, append=0.0)
    step = int(scale * POINTS)
    out, now = np.empty(count), 0.0
    for begin in range(0, count, _CHUNK):
        steps = np.full(min(_CHUNK, count - begin) + 1, 1 / ratio)
        steps[0] = now
        times = np.cumsum(steps)
        piece, now = times[:-1], times[-1]
        index = piece.astype(np.int64)
        fraction: F64 = np.asarray(scale * (piece - index))
        left = _wing(samples, index, -1, fraction, table, slope, step)
        right = _wing(samples, index + 1, 1, np.asarray(scale - fraction), table, slope, step)
        out[begin : begin + _CHUNK] = left + right
    return out


def _wing(
    samples: F64, first: np.ndarray, way: int, fraction: F64, table: F64, slope: F64, step: int
) -> F64:
    """One side of the filter for some output samples [m].

    first: index of the nearest input sample; way: -1 to the past, 1 to the future; fraction: how
    far off that sample lies, times the scale.
    """
    position = fraction * POINTS
    offset = position.astype(np.int64)
    rest = (position - offset)[:, None]
    taps = np.arange(-(-len(table) // step))
    at = offset[:, None] + taps * step
    # The table counts up to, and not including, its last whole step.
    inside = taps < ((len(table) - offset) // step)[:, None]
    at = np.minimum(at, len(table) - 1)
    source = first[:, None] + way * taps
    inside &= (source >= 0) & (source < len(samples))
    values = samples[np.clip(source, 0, len(samples) - 1)]
    return np.asarray(np.sum((table[at] + rest * slope[at]) * values, axis=1, where=inside))


def _half_window() -> F64:
    """Right half of the filter with its centre, [64 * 512 + 1]."""
    points = ZERO_CROSSINGS * POINTS
    sinc = ROLLOFF * np.sinc(ROLLOFF * np.linspace(0, ZERO_CROSSINGS, points + 1))
    return sinc * np.kaiser(2 * points + 1, BETA)[points:]
