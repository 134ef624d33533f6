"""What figures come to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeaudio.bench.machine import MachineWatch
from edgeaudio.bench.report import (
    Bench,
    Live,
    Machine,
    Percentiles,
    Stages,
    better_of,
    percentiles,
)
from edgeaudio.bench.sound import machine_sound
from edgeaudio.bench.system import processor_seconds, resident

MS = Percentiles(1.0, 2.0, 3.0)


def bench(seconds: float, hop: float = 0.5, **changes: object) -> Bench:
    """Of a model that takes so many seconds a window."""
    times = Percentiles(1000 * seconds, 1000 * seconds, 1000 * seconds)
    found = Bench(
        model="m.onnx",
        labels=("good", "broken"),
        extractor="yamnet",
        arithmetic="float32",
        window_s=1.0,
        hop_s=hop,
        threads=1,
        stages=Stages(100, MS, MS, MS, times, seconds, seconds, None),
        live=None,
        streams=None,
        machine=Machine("a board", 4, None, None, None),
    )
    return replace(found, **changes)


def test_percentiles_are_milliseconds() -> None:
    found = percentiles(np.linspace(0, 0.1, 101).tolist())
    assert (found.p50, found.p95, found.p99) == (50, 95, 99)


def test_a_model_that_fits() -> None:
    found = bench(0.05)
    assert found.fits
    assert found.rtf == pytest.approx(0.1)
    assert found.streams_per_core == 10
    assert "can run m.onnx with a hop of 0.5 s: `listen` takes 10.0 % of a core" in found.verdict
    live = Live(0.2, 10, MS, 12.5, 90.0)
    assert "takes 12.5 % of a core, and 10 streams" in replace(found, live=live).verdict


def test_a_model_that_does_not_fit_says_with_which_hop_it_would() -> None:
    found = bench(0.45)
    assert found.rtf < 1
    assert not found.fits, "no time to spare"
    assert "can't run m.onnx with a hop of 0.5 s; it can with --hop 0.563 (or" in found.verdict
    assert "int8, more --threads" in found.verdict
    assert bench(0.45, hop=0.563).fits
    full = replace(found, arithmetic="int8", threads=4)
    assert full.verdict.endswith("(or a lighter model).")


def test_slow_windows_count() -> None:
    found = bench(0.01)
    stages = replace(found.stages, pipeline_ms=Percentiles(10, 20, 600))
    assert not replace(found, stages=stages).fits


def test_the_better_one() -> None:
    slow, fast = bench(0.1), bench(0.05)
    assert better_of([slow, fast]) is fast
    assert better_of([bench(0.1), bench(0.095)]) is None, "within a tenth"
    assert better_of([bench(0.6), bench(0.7)]) is None, "none fits"
    assert better_of([bench(0.6), slow]) is slow
    assert better_of([slow, replace(fast, labels=("other", "classes"))]) is None
    often = bench(0.05, hop=0.1)
    assert better_of([slow, often]) is slow, "by the time that they have"


def test_the_sound_has_a_level_that_can_be_measured() -> None:
    sound = machine_sound(1.5, 16_000)
    assert sound.shape == (24_000,)
    assert sound.dtype == np.float32
    assert 0.05 < np.sqrt(np.mean(np.square(sound))) < 0.2
    assert np.abs(sound).max() < 1


def test_what_the_system_says() -> None:
    watch = MachineWatch()
    watch.look()
    machine = watch.result()
    assert machine.name
    assert machine.cores >= 1
    used = processor_seconds(1)
    assert used is None or used >= 0
    assert resident() is None or resident() > 10  # type: ignore[operator]
    assert processor_seconds(2**30) is None
