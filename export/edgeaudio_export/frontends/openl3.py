"""OpenL3's front-ends: one second at 48 kHz to a spectrogram in dB below the window's maximum.

Three generations of the same idea, with the same published weights (Cramer et al. 2019):

- orig: openl3 0.1 to 0.3, through kapre 0.1.4. What the weights were trained with. Mel: HTK,
  area-normalised, on power, then the square root; 982 zeros on either side.
- kapre: openl3 0.4 and later, by default. Mel: Slaney, on magnitude; 1964 zeros at the end.
- librosa: openl3 0.4 and later, as an option. As kapre, with 1024 zeros on either side.

`linear` is a magnitude spectrogram of 512 points without padding, and the same in all three.
All: periodic Hann, hop 242, 10 log10(max(magnitude, 1e-10)), minus the window's maximum,
floored at -80. A silent window is 0 everywhere.

orig and kapre compute on float32 samples; librosa keeps float64, and differs by up to 7 dB in
single cells of a chirp when its samples are rounded first.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from edgeaudio.spectrogram import SpectrogramSpec, hann, packed_bank
from edgeaudio.types import F32, F64
from edgeaudio_export.frontends import spectra
from edgeaudio_export.frontends.graph import DECIBEL, TENSOR

REPRESENTATIONS = ("linear", "mel128", "mel256")
GENERATIONS = ("orig", "kapre", "librosa")

SAMPLE_RATE = 48_000
WINDOW = 48_000
HOP = 242
AMIN = 1e-10
RANGE_DB = 80.0

_FFT = {"linear": 512, "mel128": 2048, "mel256": 2048}
_BINS = {"linear": 257, "mel128": 128, "mel256": 256}
_MEL_PADDING = {"orig": (982, 982), "kapre": (0, 1964), "librosa": (1024, 1024)}


def shape(representation: str) -> tuple[int, int]:
    """Frequency bins and frames of the spectrogram."""
    return _BINS[representation], (197 if representation == "linear" else 199)


def reference(samples: F64, representation: str, generation: str) -> F32:
    """In numpy: [N, 48000] in [-1, 1] -> dB, float32 [N, bins, frames]."""
    n_fft = _FFT[representation]
    if generation != "librosa":
        samples = samples.astype(np.float32)
    padded = np.pad(samples.astype(np.float64), ((0, 0), _padding(representation, generation)))
    frames = spectra.frames_of(padded, n_fft, HOP)
    power = spectra.power(frames, hann(n_fft), n_fft)
    if representation == "linear":
        magnitude = np.sqrt(power)
    elif generation == "orig":
        magnitude = np.sqrt(power @ mel_matrix(representation, generation))
    else:
        magnitude = np.sqrt(power) @ mel_matrix(representation, generation)
    db = 10 * np.log10(np.maximum(magnitude, AMIN))
    db = np.maximum(db - db.max(axis=(1, 2), keepdims=True), -RANGE_DB)
    return np.asarray(db.transpose(0, 2, 1), np.float32)


@cache
def spec(representation: str, generation: str) -> SpectrogramSpec:
    """The same for the runtime and for graphs; time first."""
    before, after = _padding(representation, generation)
    linear = representation == "linear"
    orig = generation == "orig" and not linear
    return SpectrogramSpec(
        window=WINDOW,
        frame=_FFT[representation],
        hop=HOP,
        fft=_FFT[representation],
        frames=shape(representation)[1],
        tensor=TENSOR,
        bank=None if linear else packed_bank(mel_matrix(representation, generation)),
        before=before,
        after=after,
        magnitude=not orig,
        root=orig,
        floor=AMIN,
        factor=DECIBEL,
        dynamic_range=RANGE_DB,
        relative=True,
    )


def mel_matrix(representation: str, generation: str) -> F64:
    """Weights [1025, bands], 0 to 24 kHz. HTK at 256 bands leaves two of them empty."""
    warp, back = (
        (spectra.htk, spectra.htk_to_hz)
        if generation == "orig"
        else (spectra.slaney, spectra.slaney_to_hz)
    )
    edges = spectra.mel_edges(0.0, SAMPLE_RATE / 2, _BINS[representation], warp, back)
    return spectra.area_normalised(edges, spectra.bin_frequencies(SAMPLE_RATE, 2048))


def _padding(representation: str, generation: str) -> tuple[int, int]:
    return (0, 0) if representation == "linear" else _MEL_PADDING[generation]
