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
    processor_s: processor time of all threads for a window, resampling included, in seconds.
    resampling_ms: of the sound between two windows, from 48 kHz; None at that rate.
    """

    windows: int
    frontend_ms: Percentiles
    network_ms: Percentiles
    head_ms: Percentiles | None
    pipeline_ms: Percentiles
    mean_s: float
    processor_s: float
    resampling_ms: float | None


@dataclass(frozen=True, slots=True)
class Live:
    """`edgeaudio listen` in a process of its own, on sound that comes in real time.

    start_s: from its start to the first decision, beyond the window that this needs. latency_ms:
    from a window's last sample to the decision on standard output; of so many
    `decisions`. cpu_percent: of a core.
    rss_mb: resident at the end, the microphone's library included where it is installed.
    """

    start_s: float
    decisions: int
    latency_ms: Percentiles | None
    cpu_percent: float | None
    rss_mb: float | None


@dataclass(frozen=True, slots=True)
class Streams:
    """Several streams in turns in one process. core_percent: processor time, of one core."""

    count: int
    core_percent: float
    fits: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """temperature_c: the hottest sensor's, at the end. clock_percent: the fastest core's at work,
    of its highest clock.

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
    labels: tuple[str, ...]
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
    def core_share(self) -> float:
        """Of a core, by processor time; more than 1 where several threads take more."""
        return self.stages.processor_s / self.hop_s

    @property
    def streams_per_core(self) -> int:
        """How many such streams one core can follow."""
        return math.floor(1 / self.core_share)

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
            share = 100 * self.core_share
            if self.live and self.live.cpu_percent:
                share = self.live.cpu_percent
            return (
                f"This machine can run {self.model} with a hop of {self.hop_s:g} s: `listen` takes "
                f"{share:.1f} % of a core, and {self.streams_per_core} streams fit on one."
            )
        advice = ["a lighter model"]
        advice += ["int8"] if self.arithmetic == "float32" else []
        advice += ["more --threads"] if self.threads < self.machine.cores else []
        hop = math.ceil(self.smallest_hop * 1000) / 1000
        return (
            f"This machine can't run {self.model} with a hop of {self.hop_s:g} s; it can with "
            f"--hop {hop:g} (or {', '.join(advice)})."
        )


def better_of(found: Sequence[Bench]) -> Bench | None:
    """The one that has the most time to spare, of those that fit; None where that is no choice:
    none fits, they have other classes, or two are within a tenth.
    """
    fitting = sorted((b for b in found if b.fits), key=lambda b: b.rtf)
    if not fitting or len({b.labels for b in found}) > 1:
        return None
    close = len(fitting) > 1 and fitting[1].rtf < 1.1 * fitting[0].rtf
    return None if close else fitting[0]


def percentiles(seconds: Sequence[float]) -> Percentiles:
    """Of measurements in seconds."""
    values = np.percentile(np.asarray(seconds) * 1000, (50, 95, 99))
    return Percentiles(*(round(float(v), 4) for v in values))
