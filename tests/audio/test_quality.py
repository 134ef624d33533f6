from __future__ import annotations

import numpy as np
import pytest

from edgeaudio.audio.quality import assess, rms_dbfs


def test_sound_is_valid() -> None:
    assert assess(np.sin(np.arange(16_000) / 5).astype(np.float32) * 0.5).valid


@pytest.mark.parametrize("peak", [0.0, 1.4e-5])
def test_silence(peak: float) -> None:
    samples = np.zeros(16_000, np.float32)
    samples[100] = peak
    assert assess(samples).reasons == ("silence",)


def test_one_step_of_a_16_bit_converter_is_a_sound() -> None:
    samples = np.zeros(16_000, np.float32)
    samples[::7] = 1 / 32768
    assert assess(samples).valid


def test_clipping_is_a_share_of_samples_not_a_single_peak() -> None:
    samples = 0.1 * np.sin(np.arange(16_000) / 5).astype(np.float32)
    samples[:100] = 1.0
    assert assess(samples).valid
    samples[:200] = 1.0
    assert assess(samples).reasons == ("clipping",)


def test_levels_are_dbfs() -> None:
    assert rms_dbfs(np.ones(100, np.float32)) == pytest.approx(0)
    sine = np.sin(2 * np.pi * np.arange(16_000) / 16).astype(np.float32)
    assert rms_dbfs(sine) == pytest.approx(-3.01, abs=0.01)
    assert rms_dbfs(np.zeros(100, np.float32)) == -120
    assert rms_dbfs(np.zeros(0, np.float32)) == -120
