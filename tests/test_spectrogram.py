"""The front-end in numpy: sizes, banks and damage. Its numbers are held in `test_frontends`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeaudio.packing import pack
from edgeaudio.spectrogram import (
    FilterBank,
    Spectrogram,
    SpectrogramSpec,
    bank_groups,
    bank_matrix,
    packed_bank,
)

RNG = np.random.default_rng(0)


def bank() -> np.ndarray:
    """40 bands, of which one is empty."""
    weights = np.zeros((65, 40))
    for band in range(40):
        weights[band : band + 1 + band // 4, band] = RNG.random(1 + band // 4) + 0.1
    weights[:, 7] = 0
    return weights


SPEC = SpectrogramSpec(
    window=1000, frame=100, hop=50, fft=128, frames=19, tensor="s", bank=packed_bank(bank())
)


def of(first: list[int], count: list[int], weights: str) -> FilterBank:
    """A bank that nobody checked."""
    packed = [pack(np.array(values, np.int16)) for values in (first, count)]
    return FilterBank(len(first), *packed, weights)


def test_a_bank_comes_back_exactly() -> None:
    weights = bank()
    assert np.array_equal(bank_matrix(packed_bank(weights), 65), weights)


def test_groups_are_the_bank() -> None:
    weights = bank()
    found = np.zeros_like(weights)
    for first, last, low, high, part in bank_groups(weights):
        found[low:high, first:last] = part
    assert np.array_equal(found, weights)


def test_it_is_the_definition() -> None:
    spec = replace(SPEC, magnitude=True, offset=0.01, factor=2.0)
    samples = RNG.standard_normal(1000).astype(np.float32)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(100) / 100)
    starts = range(0, 19 * 50, 50)
    frames = [np.fft.rfft(samples[i : i + 100].astype(float) * hann, 128) for i in starts]
    assert spec.bank is not None
    matrix = bank_matrix(spec.bank, 65)
    wanted = 2 * np.log(np.abs(frames) @ matrix + 0.01)
    found = Spectrogram(spec)(samples)
    assert found.dtype == np.float32
    assert np.allclose(found[0], wanted, atol=1e-6)


def test_the_next_call_leaves_nothing_of_the_last() -> None:
    spectrogram = Spectrogram(replace(SPEC, before=20, after=20, reflect=True, offset=1e-3))
    sounds = RNG.standard_normal((2, 1000)).astype(np.float32)
    first = spectrogram(sounds[0]).copy()
    spectrogram(sounds[1])
    assert np.array_equal(spectrogram(sounds[0]), first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 0}, "frames is 0"),
        ({"frames": 20}, "20 frames need 1050 samples of 1000"),
        ({"fft": 64}, "frames of 100 in 64"),
        ({"fft": 10**9}, "fft is 1000000000"),
        ({"before": 1000}, "ends of"),
        ({"after": -1}, "ends of"),
        ({"frames": 90_000, "fft": 32_768, "frame": 1, "hop": 1}, "too large"),
        (
            {
                "bank": FilterBank(
                    2, pack(np.array([0, 64], np.int16)), pack(np.array([1, 2], np.int16)), ""
                )
            },
            "beyond",
        ),
        (
            {
                "bank": FilterBank(
                    1, pack(np.array([-1], np.int16)), pack(np.array([1], np.int16)), ""
                )
            },
            "beyond",
        ),
        (
            {
                "bank": FilterBank(
                    1, pack(np.array([0], np.int16)), pack(np.array([1], np.int16)), "x"
                )
            },
            "damaged",
        ),
        ({"fft": 65_536, "frame": 1, "frames": 1, "bank": of([0] * 2000, [0] * 2000, "")}, "large"),
        ({"bank": FilterBank(10**6, "", "", "")}, "bands is 1000000"),
    ],
)
def test_what_is_no_front_end_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Spectrogram(replace(SPEC, **change))
