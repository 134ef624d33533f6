"""How large activations get: histograms in one pass, and ranges by several methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeaudio.types import F64

BINS = 4096
LEVELS = 255

Range = tuple[float, float]
"""Lowest and highest value that is kept; 0 lies within."""


class Histogram:
    """Counts of values in equal bins, of memory that does not grow with them.

    The bins reach from -edge to edge. Where a value lies beyond, `edge` is doubled and pairs of
    bins are joined, so that the first window need not tell how large values will get.
    """

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.edge = 0.0
        self.low = np.inf
        self.high = -np.inf

    def add(self, values: NDArray[Any]) -> None:
        """Count float32 `values` of any shape. Raises ValueError if one is not finite."""
        flat = values.reshape(-1)
        low, high = float(flat.min()), float(flat.max())
        if not np.isfinite(low) or not np.isfinite(high):
            raise ValueError("values that are not finite")
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._reach(max(abs(low), abs(high)))
        if self.edge:
            index = ((flat + np.float32(self.edge)) * np.float32(BINS / 2 / self.edge)).astype(
                np.int32
            )
            np.minimum(index, BINS - 1, out=index)
            self.counts += np.bincount(index, minlength=BINS)

    def _reach(self, largest: float) -> None:
        if largest > 0 and self.edge == 0:
            self.edge = float(2.0 ** np.ceil(np.log2(largest)))
        while largest > self.edge:
            quarter = BINS // 4
            joined = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.pad(joined, quarter)
            self.edge *= 2

    @property
    def centres(self) -> F64:
        """The middle of each bin."""
        return np.asarray((np.arange(BINS) + 0.5 - BINS / 2) * (2 * self.edge / BINS), np.float64)


Method = Callable[[Histogram], Range]


def minmax(histogram: Histogram) -> Range:
    """All that was seen."""
    return min(histogram.low, 0.0), max(histogram.high, 0.0)


def percentile(share: float) -> Method:
    """`share` of the values in percent, leaving out as many below as above.

    Of values that are never negative, all that is left out is above.
    """

    def method(histogram: Histogram) -> Range:
        low, high = minmax(histogram)
        if histogram.edge == 0:
            return low, high
        total = np.cumsum(histogram.counts)
        outside = (1 - share / 100) * total[-1] / (1 if low == 0 else 2)
        edges = np.linspace(-histogram.edge, histogram.edge, BINS + 1)
        upper = float(edges[np.searchsorted(total, total[-1] - outside) + 1])
        lower = float(edges[np.searchsorted(total, outside, side="right")])
        return max(low, min(lower, 0.0)), min(high, max(upper, 0.0))

    return method


def least_squares(histogram: Histogram) -> Range:
    """The part of what was seen, shrunk by one factor, of the least squared error in 8 bits."""
    low, high = minmax(histogram)
    if high <= low:
        return low, high
    centres, counts = histogram.centres, histogram.counts

    def error(factor: float) -> float:
        step = (high - low) * factor / LEVELS
        kept = np.clip(centres, low * factor, high * factor)
        beyond = centres - kept
        return float(counts @ np.where(beyond == 0, step * step / 12, beyond * beyond))

    best = min(np.linspace(0.05, 1.0, 96), key=lambda factor: error(float(factor)))
    return float(low * best), float(high * best)


METHODS: Mapping[str, Method] = {
    "minmax": minmax,
    "percentile 99.999": percentile(99.999),
    "percentile 99.99": percentile(99.99),
    "percentile 99.9": percentile(99.9),
    "least squares": least_squares,
}


@dataclass(frozen=True)
class Scale:
    """Of a tensor in uint8: value = (q - zero) * step, q from 0 to 255."""

    step: float
    zero: int


def scale_of(found: Range, *, positive: bool = False) -> Scale:
    """The scale that covers a range. positive: nothing below 0 is to be kept."""
    low, high = (0.0 if positive else min(found[0], 0.0)), max(found[1], 0.0)
    step = np.float32((high - low) / LEVELS)
    if not step > np.finfo(np.float32).tiny:
        return Scale(1.0, 0)  # always 0
    return Scale(float(step), round(-low / float(step)))
