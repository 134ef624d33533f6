"""What comes of quantising: the model, and what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass

import onnx


@dataclass(frozen=True)
class QuantisedLayer:
    """A layer as it was written.

    arithmetic: `int8` or `float`. exact: in float on a grid where sums are exact, so that the
    bits are the same on every processor (int8 always is). share: of the network's
    multiplications, 0 to 1. sensitivity: centred cosine that int8 costs here: what is won by
    leaving this layer alone in float; NaN where it was not measured, as int8 was no choice.
    """

    name: str
    operator: str
    arithmetic: str
    exact: bool
    share: float
    sensitivity: float


@dataclass(frozen=True)
class Quantised:
    """A network in int8, and what is known of it.

    method: of calibration. operators: how often each integer operator runs in ONNX Runtime's
    graph. cosine: mean centred cosine against the float network on windows that were held back
    from calibration, but chose between methods. corrected: biases make up for rounded weights.
    """

    model: onnx.ModelProto
    target: str
    method: str
    layers: tuple[QuantisedLayer, ...]
    operators: dict[str, int]
    cosine: float
    methods: dict[str, float]
    corrected: bool

    @property
    def exact(self) -> bool:
        """Whether every layer gives the same bits on every processor."""
        return all(layer.exact for layer in self.layers)
