"""Log-mel spectrograms of our own, in dB below full scale.

Power, scaled so that a full-scale sine has 0 dB in its bin; periodic Hann window; triangles of
peak 1 from 0 Hz to half the sample rate on Slaney's mel scale; 10 log10, floored at -100 dB; no
padding at either end.

The graph computes in float64 and returns float32. In float32 the cells 80 dB below a strong
tone are rounding noise; in float64 graph and reference agree to 1e-5 on any input.

`PATCH` is the extractor `logmel`: the spectrogram of a second at 32 kHz itself, 49 frames of 64
bands, for networks that are trained from scratch.
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass
from functools import cache

import numpy as np
from onnx import TensorProto

from edgeaudio.spectrogram import SpectrogramSpec, hann, packed_bank
from edgeaudio.types import F32, F64
from edgeaudio_export.frontends import spectra
from edgeaudio_export.frontends.graph import DECIBEL, TENSOR
from edgeaudio_export.graphs import GraphBuilder

FLOOR_POWER = 1e-10  # -100 dB
_VERSION = 1


@dataclass(frozen=True)
class LogMel:
    """sample_rate in Hz; window, frame, step and fft in samples. Zeros follow a frame up to fft."""

    sample_rate: int
    window: int
    frame: int
    step: int
    fft: int
    bands: int

    @property
    def frames(self) -> int:
        """Of a window."""
        return spectra.frame_count(self.window, self.frame, self.step)

    def reference(self, windows: F32) -> F64:
        """In numpy: float32 [N, window] in [-1, 1] -> [N, frames, bands], dB."""
        frames = spectra.frames_of(np.asarray(windows, np.float64), self.frame, self.step)
        power = spectra.power(frames, hann(self.frame) * self._gain, self.fft)
        return np.asarray(10 * np.log10(np.maximum(power @ self.mel_matrix(), FLOOR_POWER)))

    @cache  # noqa: B019  # there are two of them, and both stay
    def spec(self) -> SpectrogramSpec:
        """The same for the runtime and for graphs, in float64."""
        return SpectrogramSpec(
            window=self.window,
            frame=self.frame,
            hop=self.step,
            fft=self.fft,
            frames=self.frames,
            tensor=TENSOR,
            bank=packed_bank(self.mel_matrix()),
            gain=self._gain,
            floor=FLOOR_POWER,
            factor=DECIBEL,
            dtype="float64",
        )

    def mel_matrix(self) -> F64:
        """Triangular filters, [fft/2 + 1, bands]."""
        ends = (0.0, self.sample_rate / 2)
        edges = spectra.mel_edges(*ends, self.bands, spectra.slaney, spectra.slaney_to_hz)
        return spectra.triangles(edges, spectra.bin_frequencies(self.sample_rate, self.fft))

    @property
    def _gain(self) -> float:
        """Gives a full-scale sine power 1 in its bin."""
        return 2 / float(hann(self.frame).sum())


PATCH = LogMel(sample_rate=32_000, window=32_000, frame=1024, step=640, fft=1024, bands=64)
DIMENSIONS = PATCH.frames * PATCH.bands


def reference(windows: F32) -> F32:
    """`logmel` in numpy: float32 [N, 32000] -> [N, 3136], frame after frame."""
    return PATCH.reference(windows).reshape(len(windows), DIMENSIONS).astype(np.float32)


def add_embedding(b: GraphBuilder, log_mel: str) -> str:
    """`logmel` in a graph: its spectrogram, float64 [N, 49, 64] -> float32 [N, 3136]."""
    flat = b.add("Reshape", log_mel, b.constant([0, DIMENSIONS]))
    return b.add("Cast", flat, to=TensorProto.FLOAT)


def digest() -> str:
    """SHA-256 of what defines `logmel`, see `logmel_stats.digest`."""
    definition = f"logmel {_VERSION} {astuple(PATCH)} {FLOOR_POWER}"
    return hashlib.sha256(definition.encode()).hexdigest()
