"""OpenL3's mel spectrogram in librosa. For librosa's environment."""

from __future__ import annotations

import librosa
import numpy as np
import protocol

job = protocol.job()
rate, bands = job["sample_rate"], job["bands"]
N_FFT, HOP, AMIN, RANGE_DB = 2048, 242, 1e-10, 80.0
bank = librosa.filters.mel(sr=rate, n_fft=N_FFT, n_mels=bands)


def decibels(mel: np.ndarray) -> np.ndarray:
    # 10 log10 of magnitudes, for which librosa's name is that of powers.
    return librosa.power_to_db(mel, ref=np.max, amin=AMIN, top_db=RANGE_DB).T[None]


def as_openl3(x: np.ndarray) -> np.ndarray:
    options = {"n_fft": N_FFT, "hop_length": HOP, "n_mels": bands, "power": 1.0}
    return decibels(librosa.feature.melspectrogram(y=x[0], sr=rate, **options))


def bank_kept(x: np.ndarray) -> np.ndarray:
    return decibels(bank @ np.abs(librosa.stft(x[0], n_fft=N_FFT, hop_length=HOP)))


single = protocol.pcm()[:, None]
double = single.astype(np.float64)
ways = {
    "float64": (as_openl3, double),
    "float32": (as_openl3, single),
    "bank-kept": (bank_kept, single),
}
protocol.serve(ways, f"librosa {librosa.__version__}, numpy {np.__version__}")
