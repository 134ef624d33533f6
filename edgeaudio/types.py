"""What passes between the rooms, in the order in which sound flows.

Block -> Window -> Prediction -> Decision -> Event

All are frozen. Sample indices are the clock: they count from 0 at the first sample of the
source, in the rate that is named; UTC appears in `Event` only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Tail = Literal["drop", "pad"]
FusionName = Literal["late", "early", "early-mean"]

INVALID = "INVALID"
"""Label of a decision over sound that could not be measured. Never a class."""
RESERVED_LABELS = (INVALID, "UNKNOWN")


@dataclass(frozen=True, slots=True)
class Block:
    """What a source hands over at once.

    samples: float32 [frames, channels] from a source, [frames] once mixed to mono.
    start: index of the first frame, lost frames counted.
    gap: sound was lost directly before this block, so it does not continue the one before.
    """

    samples: F32
    start: int
    gap: bool = False


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """How a stream is cut. sample_rate in Hz, window and hop in samples at that rate.

    tail: what becomes of an incomplete last window: `drop` it, or `pad` it with zeros.
    A stream shorter than one window is padded in either case.
    """

    sample_rate: int
    window: int
    hop: int
    tail: Tail = "drop"


@dataclass(frozen=True, slots=True)
class Window:
    """One extractor input. samples: float32 [window], mono, at the model's rate.

    start: index of the first sample. No window reaches across a gap.
    """

    samples: F32
    start: int


@dataclass(frozen=True, slots=True)
class Quality:
    """Whether the input could be measured. `reasons` is empty unless `valid` is False."""

    valid: bool = True
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one window.

    start, end: sample indices at the model's rate, end exclusive.
    embedding: float32 [D]. likelihood: float32 [C], sums to 1.
    """

    start: int
    end: int
    embedding: F32
    likelihood: F32
    quality: Quality


@dataclass(frozen=True, slots=True)
class Decision:
    """The fused result over a file or a horizon.

    start, end: sample indices at the model's rate, end exclusive.
    label: a class, or `INVALID` where a live decision could not be made.
    likelihoods: (label, value) pairs in the model's order; empty where nothing was fused.
    windows: how many windows were fused.
    """

    start: int
    end: int
    label: str
    likelihoods: tuple[tuple[str, float], ...]
    windows: int
    quality: Quality


@dataclass(frozen=True, slots=True)
class Event:
    """A decision as it leaves the program, with the time (UTC) at which it was made."""

    time: datetime
    decision: Decision
