"""Weights and inputs on grids of powers of two, on which float32 sums are exact.

Where each product and each partial sum of a layer is a whole multiple of one power of two, and
smaller than 2^24 of it, float32 holds it without rounding: the result is the same in whatever
order a processor sums, and whether or not it multiplies and adds in one step. What comes out is
in the network's own units, so that no factor is left for anybody to fold into the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MANTISSA = 24
INPUT_BITS = 11
"""Of the magnitude of an input that is put on a grid for this."""

LEAST_BITS = 7
"""Of the largest weight of a channel, in the median, without its sign: int8 has as many."""


@dataclass(frozen=True)
class Grid:
    """weight, bias: float32, on the grid. bits: of the largest weight, median of the channels."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    bits: float


def on_grid(weight: NDArray[Any], bias: NDArray[Any], limit: int, unit: float) -> Grid:
    """Weights [out, ...] and bias [out] for inputs that are integers up to `limit` in magnitude.

    unit: what an input of 1 stands for. The finest grid is taken that holds the sums, a channel
    at a time.
    """
    flat = weight.reshape(len(weight), -1).astype(np.float64) * unit
    sums = np.abs(flat).sum(axis=1) * limit + np.abs(bias)
    sums = np.maximum(sums, np.finfo(np.float32).tiny * 2.0**MANTISSA)
    exponents = np.ceil(np.log2(sums)) - MANTISSA
    while True:
        step = np.exp2(exponents)
        whole, offset = np.rint(flat / step[:, None]), np.rint(bias / step)
        over = np.abs(whole).sum(axis=1) * limit + np.abs(offset) >= 2.0**MANTISSA
        if not over.any():
            break
        exponents = exponents + over
    largest = np.maximum(np.abs(whole).max(axis=1), 1)
    return Grid(
        weight=(whole * step[:, None]).reshape(weight.shape).astype(np.float32),
        bias=(offset * step).astype(np.float32),
        bits=float(np.median(np.log2(largest))),
    )


def input_step(largest: float) -> tuple[float, int]:
    """A power of two for inputs up to `largest`, and how many of it they reach."""
    if largest <= 0:
        return 1.0, 1
    step = float(np.exp2(np.ceil(np.log2(largest)) - INPUT_BITS))
    return step, int(np.ceil(largest / step))
