"""Time of each part of the way from samples to decision, in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from edgeaudio.audio.resample import MonoResampler
from edgeaudio.audio.source import Source
from edgeaudio.audio.windows import windows_of
from edgeaudio.bench.report import Percentiles, Stages, Streams, percentiles
from edgeaudio.bench.sound import machine_sound
from edgeaudio.listen import decisions
from edgeaudio.model import Model
from edgeaudio.pipeline import window_spec
from edgeaudio.types import F32, Block, WindowSpec

_WARM_UP = 3
_LEAST = 20  # windows
_LEAST_STEPS = 2  # of each stream
_SOUND_RATE = 48_000  # Hz: what most sound hardware runs at


def measure_stages(model: Model, hop: float | None, seconds: float) -> Stages:
    """Each stage by itself, then the whole way; about `seconds` in all.

    hop: seconds between windows, the model's if None.
    """
    spec = window_spec(model, hop)
    parts = _parts(model, seconds / 2)
    used = time.process_time()
    whole = _pipeline(model, spec, seconds / 2)
    used = (time.process_time() - used) / len(whole)
    resampling = _resampling(spec)
    no_time = Percentiles(0.0, 0.0, 0.0)
    outside = model.contract.front_end is not None
    return Stages(
        windows=len(whole),
        frontend_ms=percentiles([p[0] for p in parts]) if outside else no_time,
        network_ms=percentiles([p[1] for p in parts]),
        head_ms=percentiles([p[2] for p in parts]) if model.labels else None,
        pipeline_ms=percentiles(whole),
        mean_s=float(np.mean(whole)),
        processor_s=used + (resampling or 0.0) / 1000,
        resampling_ms=resampling,
    )


def measure_streams(model: Model, hop: float | None, count: int, seconds: float) -> Streams:
    """`count` streams in turns, a hop of each at a time; about `seconds` of processor time."""
    spec = window_spec(model, hop)
    sound = _sound(spec)
    running = [_windows(model, spec, sound) for _ in range(count)]
    for stream in running:
        next(stream)
    steps = 0
    begin = time.process_time()
    while steps < _LEAST_STEPS or time.process_time() - begin < seconds:
        for stream in running:
            next(stream)
        steps += 1
    share = (time.process_time() - begin) / (steps * spec.hop / spec.sample_rate)
    return Streams(count, round(100 * share, 1), share <= 1)


def _parts(model: Model, seconds: float) -> list[tuple[float, float, float]]:
    """Front-end, network and head of each window, in seconds."""
    windows = machine_sound(4 * model.window / model.sample_rate, model.sample_rate)
    rows = windows.reshape(4, -1)[:, : model.window]
    found: list[tuple[float, float, float]] = []
    end = time.perf_counter() + seconds
    while len(found) < _LEAST + _WARM_UP or time.perf_counter() < end:
        found.append(_one(model, rows[len(found) % 4][None]))
    return found[_WARM_UP:]


def _one(model: Model, window: F32) -> tuple[float, float, float]:
    start = time.perf_counter()
    values = model.network.front_end(window)
    ready = time.perf_counter()
    embedding = model.network.infer(values)
    embedded = time.perf_counter()
    if model.labels:
        model.classify(embedding)
    return ready - start, embedded - ready, time.perf_counter() - embedded


def _pipeline(model: Model, spec: WindowSpec, seconds: float) -> list[float]:
    """The whole way, window by window, in seconds."""
    stream = _windows(model, spec, _sound(spec))
    for _ in range(_WARM_UP):
        next(stream)
    found: list[float] = []
    end = time.perf_counter() + seconds
    while len(found) < _LEAST or time.perf_counter() < end:
        begin = time.perf_counter()
        next(stream)
        found.append(time.perf_counter() - begin)
    return found


class _Endless(Source):
    """The same sound again and again, at the model's rate, a hop at a time (a second at most)."""

    def __init__(self, sound: F32, spec: WindowSpec) -> None:
        self.sample_rate, self.channels, self.name = spec.sample_rate, 1, "bench"
        self._sound, self._step = sound, min(spec.hop, len(sound) // 2)

    def blocks(self) -> Iterator[Block]:
        """Without end."""
        start = 0
        while True:
            at = start % (len(self._sound) - self._step + 1)
            yield Block(self._sound[at : at + self._step], start)
            start += self._step


def _sound(spec: WindowSpec) -> F32:
    seconds = max(2.0, 2 * min(spec.hop / spec.sample_rate, 1.0))
    return machine_sound(seconds, spec.sample_rate)[:, None]


def _windows(model: Model, spec: WindowSpec, sound: F32) -> Iterator[object]:
    """Samples to decisions, one a window, without end."""
    source, hop = _Endless(sound, spec), spec.hop / spec.sample_rate
    if model.labels:
        return decisions(model, source, hop=hop, horizon=spec.window / spec.sample_rate)
    return (model.embed(window.samples[None]) for window in windows_of(source, spec))


def _resampling(spec: WindowSpec) -> float | None:
    """Milliseconds for the sound of a hop; None where none is needed."""
    rate = spec.sample_rate
    if rate == _SOUND_RATE:
        return None
    hop = spec.hop / rate
    block = machine_sound(min(hop, 1.0), _SOUND_RATE)[:, None]
    resampler, times = MonoResampler(_SOUND_RATE, rate), []
    for i in range(_LEAST + _WARM_UP):
        begin = time.perf_counter()
        resampler.push(Block(block, i * len(block)))
        times.append(time.perf_counter() - begin)
    return percentiles(times[_WARM_UP:]).p50 * max(hop, 1.0)
