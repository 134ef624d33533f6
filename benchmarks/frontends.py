"""Ways to compute a power spectrogram, in the graph and outside: time as ratios, and errors.

    .venv/bin/python benchmarks/frontends.py

For each DFT size of the extractors, one second of sound: time as a multiple of the form that is
used (two small products in float64), size of the model, and the largest error on noise and on a
chirp against numpy in float64, in OpenL3's decibels: 10 log10 of the magnitude, down to 80 under
the peak. Those 80 are 160 dB of power, more than float32 resolves.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from edgeaudio.network import open_session
from edgeaudio.spectrogram import hann
from edgeaudio_export.frontends import spectra
from edgeaudio_export.frontends.graph import add_power
from edgeaudio_export.graphs import GraphBuilder

RUNS = 15
# DFT size, samples between frames, sample rate: OpenL3 linear, VGGish and YAMNet, Kumar, OpenL3 mel
SIZES = ((512, 242, 48_000), (512, 160, 16_000), (1024, 512, 44_100), (2048, 242, 48_000))

Spectrogram = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Case:
    """One size of DFT over one second. samples: so many that the last frame is whole."""

    n_fft: int
    hop: int
    rate: int

    @property
    def frames(self) -> int:
        return spectra.frame_count(self.rate, self.n_fft, self.hop)

    @property
    def samples(self) -> int:
        return (self.frames - 1) * self.hop + self.n_fft

    @property
    def window(self) -> np.ndarray:
        return hann(self.n_fft)


def in_graph(case: Case, add: Callable[[GraphBuilder, str, Case], str]) -> tuple[Spectrogram, int]:
    """A session, and the bytes of its model."""
    b = GraphBuilder()
    b.rename_last(b.add("Cast", add(b, "pcm", case), to=TensorProto.FLOAT), "power")
    shape = ["N", case.frames, case.n_fft // 2 + 1]
    data = b.model(
        "spectrogram", {"pcm": ["N", case.samples]}, {"power": shape}
    ).SerializeToString()
    session = open_session(data)
    return lambda x: session.run(None, {"pcm": x})[0], len(data)


def two_products(b: GraphBuilder, pcm: str, case: Case) -> str:
    samples = b.add("Cast", pcm, to=TensorProto.DOUBLE)
    return add_power(b, samples, case.frames, case.hop, case.window, case.n_fft)


def convolution(b: GraphBuilder, pcm: str, case: Case) -> str:
    k, n = np.arange(case.n_fft // 2 + 1), np.arange(case.n_fft)
    dft = np.exp(-2j * np.pi * np.outer(k, n) / case.n_fft) * case.window
    kernel = b.constant(np.concatenate([dft.real, dft.imag])[:, None].astype(np.float32))
    channel = b.add("Unsqueeze", pcm, b.constant([1]))
    found = b.add("Conv", channel, kernel, strides=[case.hop])
    parts = b.split("Split", found, names=(None, None), axis=1)
    squares = [b.add("Mul", part, part) for part in parts]
    return b.add("Transpose", b.add("Add", *squares), perm=[0, 2, 1])


def stft_operator(b: GraphBuilder, pcm: str, case: Case) -> str:
    window = b.constant(case.window.astype(np.float32))
    hop, length = b.constant(np.int64(case.hop)), b.constant(np.int64(case.n_fft))
    found = b.add("STFT", pcm, hop, window, length, onesided=1)
    return b.add("ReduceSumSquare", found, axes=[3], keepdims=0)


def numpy_rfft(case: Case) -> Spectrogram:
    def run(pcm: np.ndarray) -> np.ndarray:
        window = case.window.astype(pcm.dtype)
        return spectra.power(spectra.frames_of(pcm, case.n_fft, case.hop), window, case.n_fft)

    return run


def signals(case: Case) -> dict[str, np.ndarray]:
    at = np.arange(case.samples) / case.rate
    growth = np.log(0.45 * case.rate / 20)
    chirp = 0.7 * np.sin(2 * np.pi * 20 * np.expm1(growth * at) / growth)
    noise = 0.1 * np.random.default_rng(0).standard_normal(case.samples)
    return {"noise": noise[None].astype(np.float32), "chirp": chirp[None].astype(np.float32)}


def decibels(power: np.ndarray) -> np.ndarray:
    db = 10 * np.log10(np.maximum(np.sqrt(power, dtype=np.float64), 1e-10))
    return np.maximum(db - db.max(), -80)


def seconds(run: Spectrogram, pcm: np.ndarray) -> float:
    run(pcm)
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        run(pcm)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    print("| DFT | form | time | model | noise | chirp |\n|---|---|---|---|---|---|")
    for case in (Case(*size) for size in SIZES):
        pcm = signals(case)
        exact = {name: decibels(numpy_rfft(case)(x.astype(np.float64))) for name, x in pcm.items()}
        forms: dict[str, tuple[Spectrogram, int]] = {
            "two products, float64": in_graph(case, two_products),
            "convolution": in_graph(case, convolution),
            "STFT operator": in_graph(case, stft_operator),
            "numpy, outside": (numpy_rfft(case), 0),
        }
        unit = seconds(forms["two products, float64"][0], pcm["noise"])
        for name, (run, size) in forms.items():
            errors = [np.abs(decibels(run(x)) - exact[signal]).max() for signal, x in pcm.items()]
            print(
                f"| {case.n_fft} / {case.hop} | {name} | {seconds(run, pcm['noise']) / unit:.2f} "
                f"| {size / 1e6:.2f} MB | {errors[0]:.1g} dB | {errors[1]:.1g} dB |",
                flush=True,
            )


if __name__ == "__main__":
    main()
