"""The figures of one model on one machine, and what they come to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_HEADROOM = 0.8
"""Share of the time between windows that may be spent: the rest is for what else goes on."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of many measurements, in milliseconds."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Stages:
    """Time a window takes, in this process. head_ms: None without a head.

    frontend_ms is 0 where the front-end is part of the network's graph. pipeline_ms: of the whole
    way from samples to decision, with what lies between the stages. mean_s: its mean, in seconds.
    resampling_ms: of the sound between two windows, from 48 kHz; None at that rate.
    """

    windows: int
    frontend_ms: Percentiles
    network_ms: Percentiles
    head_ms: Percentiles | None
    pipeline_ms: Percentiles
    mean_s: float
    resampling_ms: float | None


@dataclass(frozen=True, slots=True)
class Live:
    """`edgeaudio listen` in a process of its own, on sound that comes in real time.

    start_s: from its start to the first decision, beyond the window that this needs. latency_ms:
    from a window's last sample to the decision on standard output. cpu_percent: of a core.
    rss_mb: resident at the end, the microphone's library included where it is installed.
    """

    start_s: float
    latency_ms: Percentiles
    cpu_percent: float | None
    rss_mb: float | None


@dataclass(frozen=True, slots=True)
class Streams:
    """Several streams at once in one process, on one thread. core_percent: what they take of it."""

    count: int
    core_percent: float
    fits: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """temperature_c: the hottest sensor's, at the end. clock_percent: of the highest clock.

    throttled: whether it slowed down for heat or lack of power while this ran. Each is None where
    the system does not tell.
    """

    name: str
    cores: int
    temperature_c: float | None
    clock_percent: float | None
    throttled: bool | None


@dataclass(frozen=True, slots=True)
class Bench:
    """All that was measured of a model. window_s, hop_s: in seconds."""

    model: str
    extractor: str
    arithmetic: str
    window_s: float
    hop_s: float
    threads: int
    stages: Stages
    live: Live | None
    streams: Streams | None
    machine: Machine

    @property
    def rtf(self) -> float:
        """Real-time factor: processing time for the time between windows; below 1 it keeps up."""
        return self.stages.mean_s / self.hop_s

    @property
    def streams_per_core(self) -> int:
        """How many such streams one core can follow."""
        return math.floor(1 / self.rtf)

    @property
    def smallest_hop(self) -> float:
        """Seconds between windows that leave a fifth of the time free, also for slow windows."""
        return max(self.stages.pipeline_ms.p99 / 1000, self.stages.mean_s) / _HEADROOM

    @property
    def fits(self) -> bool:
        """Whether it keeps up at its hop, with a fifth of the time to spare."""
        return self.smallest_hop <= self.hop_s

    @property
    def verdict(self) -> str:
        """One sentence for people."""
        if self.fits:
            return (
                f"This machine can run {self.model} with its hop of {self.hop_s:g} s: "
                f"{100 * self.rtf:.1f} % of a core, {self.streams_per_core} stream(s) on a core."
            )
        hop = math.ceil(self.smallest_hop * 10) / 10
        return (
            f"This machine can't run {self.model} with its hop of {self.hop_s:g} s; it can with "
            f"--hop {hop:g} (or a lighter model, int8, or more --threads)."
        )


def percentiles(seconds: Sequence[float]) -> Percentiles:
    """Of measurements in seconds."""
    values = np.percentile(np.asarray(seconds) * 1000, (50, 95, 99))
    return Percentiles(*(round(float(v), 4) for v in values))
