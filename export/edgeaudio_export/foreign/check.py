"""Does a converted graph compute what its source computes? Measured on sounds, never assumed.

The signals are generated, the same on every machine, and lie on the grid of 16-bit samples:
noise, a chirp over all frequencies, silence, and something like a machine, quiet and loud.
For each, the distance between source and graph is the L2 norm of the difference of their
embeddings. It holds if it is within a limit, as a share of the norm of the source's embedding,
or within a tenth of `LIMIT` of the largest such norm over all signals (where an embedding is
nearly zero, a relative distance says nothing). A value that is no number never holds.

The limit is `LIMIT`; or, where that is more, twice what the source itself is off by, up to
`MOST`. That is measured in two ways: what changes when its input changes in the last bit of
each value (a model that makes its own spectrogram in float32 moves by 1e-4 on a chirp, nearly
all of whose cells are rounding noise), and what changes when it is run in float64 (TensorFlow's
mean over a spectrogram is off by 3e-5). Where float64 can't be had, as in TensorFlow Lite,
`WIDER_LIMIT` stands in for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from edgeaudio.errors import ModelFileError
from edgeaudio.network import open_session
from edgeaudio.types import F32, F64
from edgeaudio_export.foreign.request import SourceKind
from edgeaudio_export.golden import on_grid

LIMIT = 1e-5
WIDER_LIMIT = 5e-5
MOST = 1e-3
NEAR_ZERO = 0.1  # of the limit, of the largest embedding
NUDGES = 2  # times that the source is run on inputs changed in their last bits


@dataclass(frozen=True)
class SignalResult:
    """For one signal: distance of the two embeddings, and norm of the source's own (both L2).

    limit: of the relative distance. holds: see the head of this module.
    """

    signal: str
    distance: float
    norm: float
    limit: float
    holds: bool

    @property
    def relative(self) -> float:
        """Distance as a share of the norm; infinite where that is 0 and the distance is not."""
        if self.norm:
            return self.distance / self.norm
        return 0.0 if self.distance == 0 else float("inf")


@dataclass(frozen=True)
class Report:
    """How far a graph is from its source, signal by signal."""

    results: tuple[SignalResult, ...]

    @property
    def holds(self) -> bool:
        """Whether each signal does."""
        return all(result.holds for result in self.results)

    @property
    def worst(self) -> float:
        """Largest relative distance, NaN if one is."""
        return float(np.max([result.relative for result in self.results]))

    def table(self) -> str:
        """One line a signal."""
        width = max(len(result.signal) for result in self.results)
        return "\n".join(
            f"  {r.signal:<{width}}  relative {r.relative:8.2g}  (limit {r.limit:.1g})  "
            f"{'ok' if r.holds else 'FAILS'}"
            for r in self.results
        )


def check_signals(window: int, sample_rate: int) -> dict[str, F32]:
    """Signals float32 [window] in [-1, 1) by name, on the grid of 16-bit samples."""
    time = np.arange(window) / sample_rate
    rng = np.random.default_rng(1907)
    noise = rng.standard_normal(window)
    top = 0.48 * sample_rate
    rate = np.log(top / 20) * sample_rate / window  # so that the chirp ends at `top`
    rough = noise - np.convolve(noise, np.ones(32) / 32)[:window]
    harmonics = sum(np.sin(2 * np.pi * 117.3 * k * time + k * k) / k for k in range(1, 25))
    machine = harmonics * (1 + 0.4 * np.sin(2 * np.pi * 11 * time)) + 0.3 * rough
    machine /= np.abs(machine).max()
    signals = {
        "noise": 0.1 * noise,
        "chirp": 0.5 * np.sin(2 * np.pi * 20 * np.expm1(rate * time) / rate),
        "silence": np.zeros(window),
        "quiet machine": 0.002 * machine,
        "loud machine": 1.4 * machine,  # clipped, as loud recordings are
    }
    return {
        name: (on_grid(x.astype(np.float32)) / 32768.0).astype(np.float32)
        for name, x in signals.items()
    }


def nudged(signals: F32) -> F32:
    """`NUDGES` copies of `signals` [K, ...], each value one step of float32 up or down."""
    rng = np.random.default_rng(1846)
    wide = np.float32(np.inf)
    copies = [
        np.nextafter(signals, np.where(rng.random(signals.shape) < 0.5, -wide, wide))
        for _ in range(NUDGES)
    ]
    return np.concatenate(copies).astype(np.float32)


def limits_of(kind: SourceKind, outputs: F32, moved: F32, exact: F64 | None) -> list[float]:
    """A limit for each signal; see the head of this module.

    outputs: of the source, [K, D]; moved: of the signals `nudged`, [NUDGES * K, D]; exact:
    [K, D] in float64 arithmetic, if it could be had.
    """
    known = exact is not None or kind == "onnx"  # whose runtime is ours
    least = LIMIT if known else WIDER_LIMIT
    others = list(moved.reshape(NUDGES, *outputs.shape))
    if exact is not None:
        others.append(exact)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        wanted = outputs.astype(np.float64)
        distances = [np.linalg.norm(other - wanted, axis=1) for other in others]
        shares = 2 * np.max(distances, axis=0) / np.linalg.norm(wanted, axis=1)
    return [min(share, MOST) if share > least else least for share in shares.tolist()]


def check_conversion(
    graph: onnx.ModelProto, signals: dict[str, F32], wanted: F32, limits: list[float], what: str
) -> Report:
    """Hold `graph`, `pcm` [N, window] -> `embedding` [N, D], against its source.

    signals: as of `check_signals`. wanted: what the source gives for them, float32 [K, D].
    The graph gets one window at a time, as on a device. what: begins error messages.
    Raises ModelFileError with the figures if they differ or the graph can't be run.
    """
    broken = [n for n, row in zip(signals, wanted, strict=True) if not np.isfinite(row).all()]
    if broken:
        raise ModelFileError(
            f"{what} itself, in its own runtime, gives values that are no numbers for "
            f"{', '.join(broken)}; every window of every recording must come out as numbers."
        )
    stacked = np.stack(list(signals.values()))
    try:
        report = compare(list(signals), wanted, run_graph(graph, stacked), limits)
    except ValueError as error:
        raise ModelFileError(f"{what} can't be used: {error}.") from None
    demand(report, what)
    return report


def run_graph(graph: onnx.ModelProto, signals: F32, *, together: bool = False) -> F32:
    """`embedding` float32 [K, D] of `signals` [K, window] in ONNX Runtime.

    One at a time, or `together` in one call. Raises ValueError if ONNX Runtime refuses the graph.
    """
    session = open_session(graph.SerializeToString())
    try:
        if together:
            return np.asarray(session.run(["embedding"], {"pcm": signals})[0])
        rows = [session.run(["embedding"], {"pcm": row[None]})[0][0] for row in signals]
    except Exception as error:  # ONNX Runtime raises a dozen classes without a common root
        reason = str(error).split("\n")[0][:200].rstrip(".")
        raise ValueError(f"its graph does not run ({reason})") from None
    return np.stack(rows)


def compare(names: list[str], wanted: F32, found: F32, limits: list[float]) -> Report:
    """Row by row: `wanted` of the source against `found`, both float32 [len(names), D].

    limits: of the relative distances. Raises ValueError if their shapes differ.
    """
    if wanted.shape != found.shape or len(names) != len(wanted):
        raise ValueError(f"embeddings {found.shape} are compared with {wanted.shape}")
    with np.errstate(invalid="ignore", over="ignore"):  # infinities come out as NaN, and fail
        distances = np.linalg.norm(found.astype(np.float64) - wanted.astype(np.float64), axis=1)
        norms = np.linalg.norm(wanted.astype(np.float64), axis=1)
    scale = float(np.max(norms))
    results = []
    values = zip(names, distances.tolist(), norms.tolist(), limits, strict=True)
    for name, distance, norm, limit in values:
        # Written so that NaN does not hold.
        holds = distance <= max(limit * norm, NEAR_ZERO * LIMIT * scale)
        results.append(SignalResult(name, distance, norm, limit, bool(holds)))
    return Report(tuple(results))


def demand(report: Report, what: str) -> None:
    """Raise ModelFileError with the figures unless the report holds and says anything at all."""
    if not report.holds:
        failed = sum(not result.holds for result in report.results)
        raise ModelFileError(
            f"{what} does not compute in ONNX Runtime what it computes in its own runtime "
            f"({failed} of {len(report.results)} signals), so nothing was written:\n"
            f"{report.table()}"
        )
    if not any(result.norm > 0 for result in report.results):
        raise ModelFileError(
            f"{what} gives nothing but zeros for every test signal, so nothing can be learned "
            "from it; is it the right layer of a trained model?"
        )
