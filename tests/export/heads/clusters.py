"""Embeddings that fall into classes."""

from __future__ import annotations

import numpy as np


def clusters(classes: int, each: int = 20, dimensions: int = 12, seed: int = 0):
    rng = np.random.default_rng(seed)
    centres = 3 * rng.standard_normal((classes, dimensions))
    y = np.repeat([f"class {c}" for c in range(classes)], each)
    X = np.repeat(centres, each, axis=0) + rng.standard_normal((classes * each, dimensions))
    return X.astype(np.float32), y
