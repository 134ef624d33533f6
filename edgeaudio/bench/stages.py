"""Time of each part of the way from samples to decision, in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from edgeaudio.audio.resample import MonoResampler
from edgeaudio.audio.source import ArraySource
from edgeaudio.audio.windows import windows_of
from edgeaudio.bench.report import Percentiles, Stages, Streams, percentiles
from edgeaudio.bench.sound import machine_sound
from edgeaudio.listen import decisions
from edgeaudio.model import Model
from edgeaudio.pipeline import window_spec
from edgeaudio.types import F32, Block

_WARM_UP = 3
_LEAST = 20  # windows
_SOUND_RATE = 48_000  # Hz: what most sound hardware runs at


def measure_stages(model: Model, hop: float | None, seconds: float) -> Stages:
    """Each stage by itself, then the whole way; about `seconds` in all.

    hop: seconds between windows, the model's if None.
    """
    spec = window_spec(model, hop)
    parts = _parts(model, seconds / 2)
    whole = _pipeline(model, hop, seconds / 2)
    no_time = Percentiles(0.0, 0.0, 0.0)
    outside = model.contract.front_end is not None
    return Stages(
        windows=len(whole),
        frontend_ms=percentiles([p[0] for p in parts]) if outside else no_time,
        network_ms=percentiles([p[1] for p in parts]),
        head_ms=percentiles([p[2] for p in parts]) if model.labels else None,
        pipeline_ms=percentiles(whole),
        mean_s=float(np.mean(whole)),
        resampling_ms=_resampling(spec.sample_rate, spec.hop),
    )


def measure_streams(model: Model, hop: float | None, count: int, seconds: float) -> Streams:
    """`count` streams in turns, each a second or more of sound per second of `seconds`."""
    spec = window_spec(model, hop)
    sound = max(4.0, seconds / 2)
    running = [_windows(model, hop, sound) for _ in range(count)]
    for stream in running:
        next(stream)
    steps = 0
    begin = time.process_time()
    while steps < _LEAST or time.process_time() - begin < seconds / 2:
        for i, stream in enumerate(running):
            if next(stream, None) is None:
                running[i] = _windows(model, hop, sound)
                next(running[i])
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


def _pipeline(model: Model, hop: float | None, seconds: float) -> list[float]:
    """The whole way, window by window, in seconds."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    while len(found) < _LEAST or time.perf_counter() < end:
        stream = _windows(model, hop, max(4.0, seconds))
        for _ in range(_WARM_UP):
            next(stream)
        begin = time.perf_counter()
        for _ in stream:
            now = time.perf_counter()
            found.append(now - begin)
            if now > end and len(found) >= _LEAST:
                break
            begin = time.perf_counter()
    return found


def _windows(model: Model, hop: float | None, seconds: float) -> Iterator[object]:
    """Samples at the model's rate to decisions, one a window; of so many seconds of sound."""
    spec = window_spec(model, hop)
    window = spec.window / spec.sample_rate
    length = max(seconds, window + (_LEAST + _WARM_UP) * spec.hop / spec.sample_rate)
    sound = machine_sound(length, spec.sample_rate)
    source = ArraySource(sound, spec.sample_rate, block=spec.hop)
    if model.labels:
        return decisions(model, source, hop=hop, horizon=window)
    return (model.embed(window.samples[None]) for window in windows_of(source, spec))


def _resampling(rate: int, hop: int) -> float | None:
    if rate == _SOUND_RATE:
        return None
    frames = round(hop * _SOUND_RATE / rate)
    block = machine_sound(frames / _SOUND_RATE, _SOUND_RATE)[:, None]
    resampler, times = MonoResampler(_SOUND_RATE, rate), []
    for i in range(_LEAST + _WARM_UP):
        begin = time.perf_counter()
        resampler.push(Block(block, i * len(block)))
        times.append(time.perf_counter() - begin)
    return percentiles(times[_WARM_UP:]).p50
