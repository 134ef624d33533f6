"""The log-mel front-end of VGGish and YAMNet: 0.975 s at 16 kHz to 96 frames of 64 bands.

Hershey et al. 2017; torchvggish and TensorFlow's AudioSet models agree: frames of 400 samples
every 160, no centring, incomplete frames dropped; periodic Hann; 512 points (zeros behind);
magnitude; 64 triangles of peak 1 from 125 to 7500 Hz, equally wide and linear on HTK's mel
scale; ln(mel + offset). The offset is 0.01 in VGGish and 0.001 in YAMNet. Levels are kept:
samples must lie in [-1, 1].
"""

from __future__ import annotations

from functools import cache

import numpy as np

from edgeaudio.spectrogram import SpectrogramSpec, hann, packed_bank
from edgeaudio.types import F32, F64
from edgeaudio_export.frontends import spectra
from edgeaudio_export.frontends.graph import TENSOR

SAMPLE_RATE = 16_000
WINDOW = 15_600
FRAME = 400
HOP = 160
FFT = 512
FRAMES = 96
BANDS = 64
LOW_HZ, HIGH_HZ = 125.0, 7500.0
VGGISH_OFFSET, YAMNET_OFFSET = 0.01, 0.001


def reference(samples: F64, offset: float) -> F32:
    """In numpy: [N, 15600] in [-1, 1] -> log-mel, float32 [N, 96, 64]; time first."""
    frames = spectra.frames_of(np.asarray(samples, np.float64), FRAME, HOP)
    magnitude = np.sqrt(spectra.power(frames, hann(FRAME), FFT))
    return np.log(magnitude @ mel_matrix() + offset).astype(np.float32)


@cache
def spec(offset: float) -> SpectrogramSpec:
    """The same for the runtime and for graphs."""
    return SpectrogramSpec(
        window=WINDOW,
        frame=FRAME,
        hop=HOP,
        fft=FFT,
        frames=FRAMES,
        tensor=TENSOR,
        bank=packed_bank(mel_matrix()),
        magnitude=True,
        offset=offset,
    )


def mel_matrix() -> F64:
    """Weights [257, 64]. The DC bin has none."""
    bins = spectra.htk(spectra.bin_frequencies(SAMPLE_RATE, FFT))
    ends = spectra.htk(np.array([LOW_HZ, HIGH_HZ]))
    weights = spectra.triangles(np.linspace(ends[0], ends[1], BANDS + 2), bins)
    weights[0] = 0
    return weights
