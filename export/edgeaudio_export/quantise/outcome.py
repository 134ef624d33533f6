"""The embedding of an int8 network brought back to where the float network's lies.

What quantising does to a value of the embedding is for a part the same for all sounds, or a
factor: means and spreads of 8-bit layers are off. Both are fitted on the calibration windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgeaudio.types import F32
from edgeaudio_export.quantise.graph import OUTPUT

_SHRINKAGE = 0.1
"""Towards a factor of 1, as a part of the median variance."""

_WHOLE = ("Round", "Floor", "Ceil")


@dataclass(frozen=True)
class Correction:
    """embedding * factor + shift; both float32 [D]."""

    factor: F32
    shift: F32

    def apply(self, embeddings: F32) -> F32:
        """To embeddings [N, D], as the graph does it: rounded after each step."""
        return np.asarray(embeddings * self.factor + self.shift, np.float32)


def fit(wanted: F32, found: F32) -> Correction:
    """Least squares from `found` to `wanted`, both [N, D], a value at a time."""
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    means = a.mean(axis=0), b.mean(axis=0)
    a, b = a - means[0], b - means[1]
    variance = (a * a).mean(axis=0)
    some = variance > 0
    if not some.any():
        factor = np.ones(len(variance))
    else:
        towards = _SHRINKAGE * float(np.median(variance[some]))
        factor = ((a * b).mean(axis=0) + towards) / (variance + towards)
    shift = means[1] - means[0] * factor
    return Correction(factor.astype(np.float32), shift.astype(np.float32))


def applies(model: onnx.ModelProto) -> bool:
    """Whether the embedding is a measured quantity, and not rounded to whole numbers."""
    maker = next(n for n in model.graph.node if OUTPUT in n.output)
    return maker.op_type not in _WHOLE


def add(model: onnx.ModelProto, correction: Correction) -> onnx.ModelProto:
    """The model with the correction behind it: a product and a sum, each rounded once."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    raw, scaled = f"{OUTPUT}.raw", f"{OUTPUT}.corrected.scaled"
    for node in found.graph.node:
        node.input[:] = [raw if name == OUTPUT else name for name in node.input]
        node.output[:] = [raw if name == OUTPUT else name for name in node.output]
    names = [f"{OUTPUT}.corrected.{part}" for part in ("factor", "shift")]
    values = (correction.factor, correction.shift)
    found.graph.initializer.extend(
        numpy_helper.from_array(v, n) for n, v in zip(names, values, strict=True)
    )
    found.graph.node.append(helper.make_node("Mul", [raw, names[0]], [scaled]))
    found.graph.node.append(helper.make_node("Add", [scaled, names[1]], [OUTPUT]))
    return found
