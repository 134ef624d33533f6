"""Normalisers: normalised = (x - offset) * scale, fitted on the training set.

The scale is floored: a dimension that hardly moved in training would otherwise magnify whatever
it does later, down to the last digits of a resampler.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from edgeaudio.types import F64

NormaliserName = Literal["min-max", "standard", "none"]

FLOOR = 0.01
"""A dimension's range (or deviation) counts as at least this share of the median one."""


def fit(kind: NormaliserName, X: F64) -> tuple[F64, F64]:
    """Offset [D] and scale [D] for embeddings [N, D].

    min-max: to 0..1. standard: to mean 0 and standard deviation 1. none: as they are.
    """
    if kind == "none":
        return np.zeros(X.shape[1]), np.ones(X.shape[1])
    if kind == "min-max":
        offset = X.min(axis=0)
        reach = X.max(axis=0) - offset
    else:
        offset, reach = X.mean(axis=0), X.std(axis=0)
    # Nothing moves at all only in degenerate data; any scale will do there.
    floor = FLOOR * float(np.median(reach)) or FLOOR * float(reach.max()) or 1.0
    return offset, 1 / np.maximum(reach, floor)
