"""What the front-ends have in common: frames, the DFT of a frame, mel filters; graph and numpy.

The DFT is computed as two small matrix products (n_fft = A * B, Cooley and Tukey's first step),
in float64. `benchmarks/frontends.py` measures it against other forms. On x86-64, a convolution in
float32 takes half the time at 512 points, the same at 1024 and 1.4 times at 2048, where its
matrix is 17 MB, as large as OpenL3's network; ONNX's STFT takes 1.1 to 1.4 times. Both are off by
1 to 10 dB in single cells of a chirp that OpenL3 looks at, this form by 1e-6. Half a millisecond
a second of sound is not worth a second form for 512 points. numpy's real FFT outside the graph
takes a quarter of the time, but the network behind it takes 4 to 150 ms a window, so that it
would save next to nothing, and bring a second front-end to keep.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import TensorProto

from edgeaudio.types import F64
from edgeaudio_export.graphs import GraphBuilder

Warp = Callable[[F64], F64]


def hann(length: int) -> F64:
    """Periodic Hann window [length]."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)


def frame_count(samples: int, frame: int, hop: int) -> int:
    """How many whole frames lie in so many samples."""
    return max(0, 1 + (samples - frame) // hop)


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


def power(frames: F64, window: F64, n_fft: int) -> F64:
    """The same in numpy: frames [..., frame] -> [..., n_fft/2 + 1]."""
    return np.square(np.abs(np.fft.rfft(frames * window, n_fft)))


def frames_of(samples: F64, frame: int, hop: int) -> F64:
    """Whole frames [..., T, frame] of samples [..., n], as a view."""
    return np.lib.stride_tricks.sliding_window_view(samples, frame, axis=-1)[..., ::hop, :]


def add_float(b: GraphBuilder, value: str) -> str:
    """To float32."""
    return b.add("Cast", value, to=TensorProto.FLOAT)


def add_double(b: GraphBuilder, value: str) -> str:
    """To float64."""
    return b.add("Cast", value, to=TensorProto.DOUBLE)


# Mel scales: from Hz to mel and back.


def slaney(hz: F64) -> F64:
    """Slaney's scale (Auditory Toolbox; librosa's default): linear to 1 kHz, then logarithmic."""
    log = 15 + np.log(np.maximum(hz, 1000.0) / 1000) * 27 / np.log(6.4)
    return np.where(hz < 1000, hz * 3 / 200, log)


def slaney_to_hz(mel: F64) -> F64:
    """Inverse of `slaney`."""
    above = 1000 * np.exp((np.maximum(mel, 15.0) - 15) * np.log(6.4) / 27)
    return np.where(mel < 15, mel * 200 / 3, above)


def htk(hz: F64) -> F64:
    """HTK's scale."""
    return 2595 * np.log10(1 + hz / 700)


def htk_to_hz(mel: F64) -> F64:
    """Inverse of `htk`."""
    return 700 * (10 ** (mel / 2595) - 1)


def triangles(edges: F64, bins: F64) -> F64:
    """Triangles of peak 1 between successive `edges` [bands + 2]: weights [len(bins), bands]."""
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    at = bins[:, None]
    rising, falling = (at - low) / (centre - low), (high - at) / (high - centre)
    return np.maximum(0.0, np.minimum(rising, falling))


def area_normalised(edges_hz: F64, bins_hz: F64) -> F64:
    """Triangles linear in Hz of area 1 (in Hz): peak 2 / (upper edge - lower edge)."""
    return np.asarray(triangles(edges_hz, bins_hz) * (2 / (edges_hz[2:] - edges_hz[:-2])))


def mel_edges(low_hz: float, high_hz: float, bands: int, warp: Warp, back: Warp) -> F64:
    """Edges in Hz [bands + 2] of bands that are equally wide on a mel scale."""
    ends = warp(np.array([low_hz, high_hz]))
    return back(np.linspace(ends[0], ends[1], bands + 2))


def bin_frequencies(sample_rate: int, n_fft: int) -> F64:
    """Hz of each bin of a real DFT, [n_fft/2 + 1]."""
    return np.asarray(np.arange(n_fft // 2 + 1) * (sample_rate / n_fft))


def _factors(n_fft: int) -> tuple[int, int]:
    """The two factors, near the square root, the second even."""
    rows = 1 << (n_fft.bit_length() - 1) // 2
    if rows * (n_fft // rows) != n_fft or (n_fft // rows) % 2:
        raise ValueError(f"n_fft is {n_fft}, expected a power of two")
    return rows, n_fft // rows
