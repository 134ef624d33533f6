"""Front-ends as nodes of a graph: frames, the DFT of a frame, filter banks, compression.

The DFT is computed as two small matrix products (n_fft = A * B, Cooley and Tukey's first step),
in float64. `benchmarks/frontends.py` measures it against other forms. On x86-64, a convolution in
float32 takes half the time at 512 points, the same at 1024 and 1.4 times at 2048, where its
matrix is 17 MB, as large as OpenL3's network; ONNX's STFT takes 1.1 to 1.4 times. Both are off by
1 to 10 dB in single cells of a chirp that OpenL3 looks at, this form by 1e-6. Half a millisecond
a second of sound is not worth a second form for 512 points. Who runs the model file through
edgeaudio has numpy's real FFT instead, see `edgeaudio.spectrogram`.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from edgeaudio.spectrogram import SpectrogramSpec, bank_groups, bank_matrix, hann
from edgeaudio.types import F64
from edgeaudio_export.graphs import GraphBuilder

TENSOR = "spectrogram"
"""What our graphs call what a front-end gives."""

DECIBEL = 10 / float(np.log(10))
"""Of a natural logarithm of power."""


def add_spectrogram(b: GraphBuilder, pcm: str, spec: SpectrogramSpec) -> str:
    """What `edgeaudio.spectrogram` computes, `pcm` [N, window] -> [N, frames, bands]."""
    samples = b.add("Cast", pcm, to=TensorProto.DOUBLE)
    # The last frame's zeros are read beyond the end.
    lacking = (spec.frames - 1) * spec.hop + spec.fft - (spec.before + spec.window + spec.after)
    ends = (spec.before, spec.after)
    if any(ends) or lacking > 0:
        after = spec.after if spec.reflect else spec.after + max(0, lacking)
        mode = "reflect" if spec.reflect else "constant"
        samples = b.add("Pad", samples, b.constant([0, spec.before, 0, after]), mode=mode)
    window = hann(spec.frame) * spec.gain
    bands = add_power(b, samples, spec.frames, spec.hop, window, spec.fft)
    if spec.magnitude:
        bands = b.add("Sqrt", bands)
    if spec.bank:
        bands = _add_bank(b, bands, bank_matrix(spec.bank, spec.fft // 2 + 1))
    if spec.root:
        bands = b.add("Sqrt", bands)
    return _add_compression(b, bands, spec)


def _add_bank(b: GraphBuilder, bins: str, bank: F64) -> str:
    """Matrix products over the stretches of bins that bands reach."""
    parts = []
    for _, _, low, high, weights in bank_groups(bank):
        ends = [b.constant([value]) for value in (low, high, 2)]
        parts.append(b.add("MatMul", b.add("Slice", bins, *ends), b.constant(weights)))
    return b.add("Concat", *parts, axis=2) if len(parts) > 1 else parts[0]


def _add_compression(b: GraphBuilder, bands: str, spec: SpectrogramSpec) -> str:
    if spec.floor:
        bands = b.add("Max", bands, b.constant(np.float64(spec.floor)))
    if spec.offset:
        bands = b.add("Add", bands, b.constant(np.float64(spec.offset)))
    bands = b.add("Log", bands)
    if spec.factor != 1:
        bands = b.add("Mul", bands, b.constant(np.float64(spec.factor)))
    if spec.dynamic_range is not None:
        highest = b.add("ReduceMax", bands, axes=[1, 2], keepdims=1)
        if spec.relative:
            bands = b.add("Sub", bands, highest)
            lowest = b.constant(np.float64(-spec.dynamic_range))
        else:
            lowest = b.add("Sub", highest, b.constant(np.float64(spec.dynamic_range)))
        bands = b.add("Max", bands, lowest)
    if spec.dtype == "float32":
        return b.add("Cast", bands, name=spec.tensor, to=TensorProto.FLOAT)
    b.rename_last(bands, spec.tensor)
    return spec.tensor


def add_power(b: GraphBuilder, samples: str, count: int, hop: int, window: F64, n_fft: int) -> str:
    """Power spectrum of frames of float64 [N, n] `samples`, as float64 [N, count, n_fft/2 + 1].

    window: [frame], at most n_fft long; zeros follow it. Frame i starts at sample i * hop, and
    n_fft samples from there on must exist for each of the `count` frames.
    """
    rows, columns = _factors(n_fft)
    bins = n_fft // 2 + 1
    a, c, kc = np.arange(rows), np.arange(columns), np.arange(columns // 2 + 1)
    # Sample columns * a + c of a frame; bin a + rows * kc.
    within = columns * a[:, None] + c
    starts = np.arange(count)[:, None, None] * hop
    index = b.add("Add", b.constant(starts), b.constant(within[None]))
    padded = np.zeros(n_fft)
    padded[: len(window)] = window
    frames = b.add(
        "Mul",
        b.add("Gather", samples, index, axis=1),
        b.constant(padded.reshape(rows, columns)),
    )
    first = np.exp(-2j * np.pi * np.outer(a, a) / rows)
    turned = b.add("MatMul", b.constant(np.concatenate([first.real, first.imag])), frames)
    real, imaginary = b.split("Split", turned, names=(None, None), axis=-2)
    twiddle = np.exp(-2j * np.pi * np.outer(a, c) / n_fft)
    cosine, sine = b.constant(twiddle.real), b.constant(twiddle.imag)
    both = b.add(
        "Concat",
        b.add("Sub", b.add("Mul", real, cosine), b.add("Mul", imaginary, sine)),
        b.add("Add", b.add("Mul", real, sine), b.add("Mul", imaginary, cosine)),
        axis=-1,
    )
    second = np.exp(-2j * np.pi * np.outer(c, kc) / columns)
    power = b.add(
        "Add",
        *(
            b.add("Mul", part, part)
            for part in (
                b.add("MatMul", both, b.constant(np.concatenate([second.real, -second.imag]))),
                b.add("MatMul", both, b.constant(np.concatenate([second.imag, second.real]))),
            )
        ),
    )
    ordered = b.add("Transpose", power, perm=[0, 1, 3, 2])
    flat = b.add("Reshape", ordered, b.constant([0, count, len(kc) * rows]))
    bounds = [b.constant([value]) for value in (0, bins, 2)]
    return b.add("Slice", flat, *bounds)


def _factors(n_fft: int) -> tuple[int, int]:
    """The two factors, near the square root, the second even."""
    rows = 1 << (n_fft.bit_length() - 1) // 2
    if rows * (n_fft // rows) != n_fft or (n_fft // rows) % 2:
        raise ValueError(f"n_fft is {n_fft}, expected a power of two")
    return rows, n_fft // rows
