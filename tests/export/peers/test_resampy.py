from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeaudio_export.peers.resampy import resample

# What resampy 0.2.2 gives for x[i] = ((37 * i) % 101) / 101 - 0.5, i < 300: every 120th value.
NOISE = np.array([((37 * i) % 101) / 101 - 0.5 for i in range(300)])
EXPECTED: dict[tuple[int, int], list[float]] = {
    (44100, 48000): [-0.51000391282636, -0.15267703523643, 0.51394462147069],
    (44100, 16000): [-0.16030432381679],
    (16000, 48000): [
        -0.51000391282636,
        0.12586622522593,
        -0.19102025696693,
        0.45902220700351,
        0.13437176343087,
        -0.20087358398323,
        0.38793170858975,
        0.072972350744423,
    ],
    (48000, 44100): [-0.47282865963414, 0.51267403628495, 0.34338206826459],
}


@pytest.mark.parametrize("rates", EXPECTED)
def test_as_resampy_022(rates: tuple[int, int]) -> None:
    found = resample(NOISE, *rates)
    assert len(found) == int(300 * rates[1] / rates[0])
    assert np.abs(found[::120] - EXPECTED[rates]).max() <= 1e-12


@given(st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000]), st.integers(0, 9000))
def test_length_is_truncated(rate: int, count: int) -> None:
    assert len(resample(np.zeros(count), rate, 48_000)) == int(count * 48_000 / rate)


def test_a_tone_stays_a_tone() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(44_100) / 44_100)
    found = resample(tone, 44_100, 48_000)
    wanted = np.sin(2 * np.pi * 1000 * np.arange(48_000) / 48_000)
    assert np.abs(found - wanted)[500:-500].max() <= 1e-4
