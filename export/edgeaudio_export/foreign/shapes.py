"""How a window, or a spectrogram of it, is laid into the input of a foreign network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeaudio.types import F32
from edgeaudio_export.foreign.request import Refused


@dataclass(frozen=True)
class Fit:
    """shape: of the network's input for one window, the batch included where there is one.

    batch: whether the first dimension counts windows; open_batch: whether it can be any number.
    transposed: whether time and frequency change places.
    """

    shape: tuple[int, ...]
    batch: bool
    open_batch: bool
    transposed: bool = False

    @property
    def dimensions(self) -> tuple[int | None, ...]:
        """The shape with None for an open batch."""
        return (None, *self.shape[1:]) if self.open_batch else self.shape

    def lay(self, data: F32) -> F32:
        """One window (or its spectrogram) as the network takes it."""
        turned = data.T if self.transposed else data
        return np.ascontiguousarray(turned.reshape(self.shape), np.float32)


def fit(data: Sequence[int], wanted: Sequence[int | None]) -> Fit:
    """Lay `data` (dimensions of one window) into an input of the dimensions `wanted`.

    None stands for a dimension of any size. Dimensions of size 1 come and go; nothing else is
    padded or cut. Raises Refused where that does not work out.
    """
    if wanted and wanted[0] in (None, 1):
        for transposed in (False, True):
            shape = _match(data[::-1] if transposed else data, wanted[1:])
            if shape is not None:
                return Fit((1, *shape), True, wanted[0] is None, transposed)
    shape = _match(data, wanted)
    if shape is not None:
        return Fit(shape, False, False)
    text = " x ".join("any" if d is None else str(d) for d in wanted) or "no dimensions"
    have = " x ".join(str(d) for d in data)
    raise Refused(f"its input is {text}, into which a window of {have} does not fit")


def _match(data: Sequence[int], wanted: Sequence[int | None]) -> tuple[int, ...] | None:
    """`wanted` with its open dimensions filled in from `data`, None where they disagree."""
    left = [size for size in data if size != 1]
    shape = []
    for size in wanted:
        if size == 1:
            shape.append(1)
        elif left and size in (None, left[0]):
            shape.append(left.pop(0))
        else:
            return None
    return None if left else tuple(shape)
