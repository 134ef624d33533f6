"""What the loop of `listen` costs on top of the model: resampler, windows, quality, horizon.

    .venv/bin/python benchmarks/listen_overhead.py MODEL.onnx [MODEL.onnx ...] [--rounds N]

The same sound, at the model's rate, in blocks as a microphone hands them over: once through
`edgeaudio.listen.decisions` without sinks, and once as windows that were cut before, through
`model.embed` and `model.classify` alone. In turns, in one process, on one core; who is first
changes.

The table, by model: time of the loop as a multiple of the model's own, median over the rounds of
the ratio within a round, and the middle half of these; and what the loop takes on top for a
window, by the clock and in processor time. Linux only.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgeaudio.audio.source import ArraySource
from edgeaudio.audio.windows import windows_of
from edgeaudio.listen import decisions
from edgeaudio.model import Model, load_model
from edgeaudio.types import F32

WINDOWS = 20  # a round
BLOCK_SECONDS = 0.05  # roughly what a sound card gives


def sound(model: Model) -> F32:
    """Noise of so many windows."""
    spec = model.contract.window_spec
    length = spec.window + (WINDOWS - 1) * spec.hop
    return (0.1 * np.random.default_rng(0).standard_normal(length)).astype(np.float32)


def ways(model: Model) -> tuple[Callable[[], object], Callable[[], object]]:
    """The loop, and the model alone."""
    samples, rate = sound(model), model.sample_rate
    block = round(BLOCK_SECONDS * rate)
    cut = windows_of(ArraySource(samples, rate), model.contract.window_spec)
    windows = [window.samples[None] for window in cut]

    def loop() -> object:
        return list(decisions(model, ArraySource(samples, rate, block=block)))

    def alone() -> object:
        return [model.classify(model.embed(window)) for window in windows]

    return loop, alone


def measure(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds for a window: by the clock, and of the processor."""
    start, before = time.perf_counter(), time.process_time()
    run()
    return (time.perf_counter() - start) / WINDOWS, (time.process_time() - before) / WINDOWS


def compare(model: Model, rounds: int) -> np.ndarray:
    """[rounds, loop and alone, clock and processor]."""
    both = ways(model)
    found = np.empty((rounds, 2, 2))
    for number in range(-2, rounds):  # the first two are not kept
        for which in (0, 1) if number % 2 else (1, 0):
            found[number, which] = measure(both[which])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--core", type=int, help="the one to work on; the last one otherwise")
    options = parser.parse_args()
    core = max(os.sched_getaffinity(0)) if options.core is None else options.core
    os.sched_setaffinity(0, {core})
    print("| extractor | time | middle half | model alone, ms | on top, ms | processor, ms |")
    print("|---|---|---|---|---|---|")
    for path in options.models:
        model = load_model(path)
        found = compare(model, options.rounds)
        low, middle, high = statistics.quantiles(found[:, 0, 0] / found[:, 1, 0], n=4)
        clock, processor = 1e3 * np.median(found[:, 0] - found[:, 1], axis=0)
        print(
            f"| {model.contract.extractor.id} | {middle:.3f} | {low:.3f}–{high:.3f} "
            f"| {1e3 * np.median(found[:, 1, 0]):.2f} | {clock:.2f} | {processor:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
