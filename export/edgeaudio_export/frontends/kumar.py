"""Kumar's front-end: sound at 44.1 kHz to a log-mel spectrogram of 128 bands (Kumar et al. 2018).

As weak_feature_extractor computes it through librosa: 1024 points, hop 512, periodic Hann,
centred; power; 128 Slaney bands from 0 to 22.05 kHz, area-normalised; 10 log10(max(., 1e-10)),
floored at 80 dB below the maximum of the whole input. Levels are kept.

padding: what lies beyond the ends of the input; zeros (`constant`, librosa since 0.9) or its
mirror image (`reflect`, librosa before).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from edgeaudio.spectrogram import SpectrogramSpec, hann, packed_bank
from edgeaudio.types import F32, F64
from edgeaudio_export.frontends import spectra
from edgeaudio_export.frontends.graph import DECIBEL, TENSOR

PADDINGS = ("constant", "reflect")

SAMPLE_RATE = 44_100
FFT = 1024
HOP = 512
BANDS = 128
SEGMENT = 128
"""Frames that one embedding sees."""

STEP = 64
"""Frames between segments."""

WINDOW = (SEGMENT - 1) * HOP
"""Samples that give exactly one segment (1.47 s)."""

AMIN = 1e-10
RANGE_DB = 80.0


def reference(samples: F64, padding: str = "constant") -> F32:
    """In numpy: [n] in [-1, 1] -> log-mel in dB, float32 [1 + n // 512, 128]; time first."""
    padded = np.pad(np.asarray(samples, np.float64), FFT // 2, mode=padding)  # type: ignore[call-overload]
    bank, window = mel_matrix(), hann(FFT)
    frames = spectra.frames_of(padded, FFT, HOP)
    pieces = [frames[i : i + 1024] for i in range(0, len(frames), 1024)]  # bounds memory
    mel = np.concatenate([spectra.power(piece, window, FFT) @ bank for piece in pieces])
    db = 10 * np.log10(np.maximum(mel, AMIN))
    return np.asarray(np.maximum(db, db.max() - RANGE_DB), np.float32)


@cache
def spec(padding: str = "constant") -> SpectrogramSpec:
    """The same for the runtime and for graphs, for one segment."""
    return SpectrogramSpec(
        window=WINDOW,
        frame=FFT,
        hop=HOP,
        fft=FFT,
        frames=SEGMENT,
        tensor=TENSOR,
        bank=packed_bank(mel_matrix()),
        before=FFT // 2,
        after=FFT // 2,
        reflect=padding == "reflect",
        floor=AMIN,
        factor=DECIBEL,
        dynamic_range=RANGE_DB,
    )


def mel_matrix() -> F64:
    """Weights [513, 128]."""
    edges = spectra.mel_edges(0.0, SAMPLE_RATE / 2, BANDS, spectra.slaney, spectra.slaney_to_hz)
    return spectra.area_normalised(edges, spectra.bin_frequencies(SAMPLE_RATE, FFT))
