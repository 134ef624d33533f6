"""What int8 arithmetic the processors have that a model file may be quantised for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeaudio.errors import EdgeAudioError

FULL_RANGE = 127
REDUCED_RANGE = 64


@dataclass(frozen=True)
class Target:
    """A kind of processor.

    weight_limit: the largest magnitude of an int8 weight. about: why, in a few words.
    """

    name: str
    weight_limit: int
    about: str


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("x86-64", FULL_RANGE, "VNNI: four products are summed in 32 bits"),
        Target(
            "x86-64-avx2",
            REDUCED_RANGE,
            "pairs of products are summed in 16 bits and clipped: 2 * 255 * 64 still fits",
        ),
        Target("arm64-dot", FULL_RANGE, "UDOT: four products are summed in 32 bits"),
        Target("arm64", FULL_RANGE, "products are summed in 32 bits, pair by pair"),
    )
}


def get_target(name: str) -> Target:
    """The target called `name`. Raises EdgeAudioError if there is none."""
    if name not in TARGETS:
        raise EdgeAudioError(f"There is no target {name!r}; there are {', '.join(TARGETS)}.")
    return TARGETS[name]
