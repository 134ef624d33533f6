from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaudio.audio.resample import MonoResampler, mix, resampler_name
from edgeaudio.types import Block


def stream(samples: np.ndarray, source: int, target: int, cuts: list[int]) -> np.ndarray:
    resampler = MonoResampler(source, target)
    out, start = [], 0
    for end in [*sorted(cuts), len(samples)]:
        block = resampler.push(Block(samples[start:end], start))
        out.append(replace(block, samples=block.samples.copy()))
        start = end
    out.append(resampler.flush())
    assert [b.start for b in out] == [0, *np.cumsum([len(b.samples) for b in out])[:-1].tolist()]
    return np.concatenate([b.samples for b in out])


@settings(deadline=None, max_examples=25)
@given(
    cuts=st.lists(st.integers(0, 4000), max_size=12),
    channels=st.integers(1, 9),
    rate=st.sampled_from([8_000, 16_000, 44_100, 48_000]),
)
def test_block_invariant_to_the_bit(cuts: list[int], channels: int, rate: int) -> None:
    samples = np.random.default_rng(1).standard_normal((4000, channels)).astype(np.float32)
    whole = stream(samples, rate, 16_000, [])
    assert np.array_equal(stream(samples, rate, 16_000, cuts), whole)
    assert abs(len(whole) - 4000 * 16_000 / rate) <= 1


def test_same_rate_passes_through_to_the_bit() -> None:
    samples = np.random.default_rng(2).standard_normal((100, 1)).astype(np.float32)
    assert np.array_equal(stream(samples, 16_000, 16_000, [33]), samples[:, 0])


def test_mix_is_the_mean_over_channels() -> None:
    samples = np.array([[1.0, 0.0], [-0.5, 0.25]], np.float32)
    assert mix(samples).tolist() == [0.5, -0.125]


def test_tone_survives_and_what_cannot_be_represented_is_removed() -> None:
    time = np.arange(48_000) / 48_000
    for hz, level in ((1_000, 1.0), (12_000, 0.0)):
        tone = np.sin(2 * np.pi * hz * time).astype(np.float32)[:, None]
        out = stream(tone, 48_000, 16_000, [])[1000:-1000]
        assert np.sqrt(2 * np.mean(out.astype(np.float64) ** 2)) == pytest.approx(level, abs=1e-4)


def test_after_a_gap_the_index_is_where_the_sound_goes_on() -> None:
    resampler = MonoResampler(48_000, 16_000)
    block = np.zeros((4800, 1), np.float32)
    resampler.push(Block(block, 0))
    after = resampler.push(Block(block, 48_000, gap=True))
    assert (after.start, after.gap) == (16_000, True)


def test_name_holds_the_version() -> None:
    assert resampler_name().startswith("soxr ")
    assert resampler_name().endswith(" HQ")


@pytest.mark.parametrize(
    ("source", "target"), [(48_000, 16_000), (44_100, 16_000), (8_000, 16_000)]
)
def test_what_it_takes_for_a_window_is_known_to_a_few_milliseconds(
    source: int, target: int
) -> None:
    """Blocks that are asked for end where soxr lets a window go, in a few steps."""
    target = 16_000
    resampler = MonoResampler(source, target)
    steps = there = 0
    heard, wanted = 0, 3 * target
    while there < wanted:
        frames = resampler.frames_for(wanted - there)
        assert frames >= 1
        there += len(resampler.push(Block(np.zeros((frames, 1), np.float32), heard)).samples)
        heard += frames
        steps += 1
    assert steps <= 6
    fine, there, earliest = MonoResampler(source, target), 0, 0
    while there < wanted:
        there += len(fine.push(Block(np.zeros((8, 1), np.float32), earliest)).samples)
        earliest += 8
    assert heard - earliest <= 0.003 * source


def test_at_the_same_rate_it_takes_just_as_many_frames() -> None:
    assert MonoResampler(16_000, 16_000).frames_for(7800) == 7800
    assert MonoResampler(16_000, 16_000).frames_for(0) == 1
