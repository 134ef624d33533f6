"""Whether a window could be measured at all.

Levels are in dBFS: a peak of 1.0 is 0 dBFS, and so is an RMS of 1.0 (a full-scale sine has
-3 dBFS RMS).
"""

from __future__ import annotations

import numpy as np

from edgeaudio.types import F32, Quality

SILENCE_PEAK = 0.5 / 32768
"""Below this peak there is no sound: -96 dBFS, half a step of a 16-bit converter."""

CLIPPED_PEAK = 0.999
CLIPPED_SHARE = 0.01
"""A window is clipped when this share of its samples is at full scale."""

_FLOOR_DBFS = -120.0


def assess(samples: F32) -> Quality:
    """Quality of one window, float32 [window]."""
    magnitude = np.abs(samples)
    if magnitude.max(initial=0.0) < SILENCE_PEAK:
        return Quality(False, ("silence",))
    if np.count_nonzero(magnitude >= CLIPPED_PEAK) >= CLIPPED_SHARE * len(samples):
        return Quality(False, ("clipping",))
    return Quality()


def rms_dbfs(samples: F32) -> float:
    """RMS level in dBFS, not below -120; of float32 [n], n may be 0."""
    if not len(samples):
        return _FLOOR_DBFS
    mean_square = float(np.mean(np.square(samples, dtype=np.float64)))
    return max(_FLOOR_DBFS, 10 * float(np.log10(mean_square + 1e-30)))
