"""The parity report of a network in int8, for people."""

from __future__ import annotations

from collections.abc import Iterator

from edgeaudio.quantisation import Accuracy, Cost, Parity, Quantisation


def parity_lines(found: Quantisation, max_drop: float | None = None) -> Iterator[str]:
    """A few lines: what int8 lost, and what it gained. max_drop: points that it might have lost."""
    parity = found.parity
    yield (
        f"int8 for {found.target} beside float32, on {parity.recordings} recordings "
        f"({parity.windows} windows), some of which calibrated it:"
    )
    for name, value in _rows(found, parity):
        yield f"  {name:14s} {value}"
    if max_drop is not None and 100 / parity.recordings > max(max_drop, 1e-9):
        one = 100 / parity.recordings
        yield f"  One recording is {one:.1f} points: too few to see a loss of {max_drop:g}."


def _rows(found: Quantisation, parity: Parity) -> Iterator[tuple[str, str]]:
    yield "embeddings", f"centred cosine {parity.centred_cosine:.4f}"
    if parity.windows_agree is not None and parity.recordings_agree is not None:
        yield (
            "same label",
            f"{parity.windows_agree:.2f} % of windows, {parity.recordings_agree:.2f} % of "
            f"recordings; a likelihood changes by {parity.likelihood_change:.3f} at most",
        )
    if parity.accuracy is None:
        yield "accuracy", f"not measured: {parity.no_accuracy}"
    else:
        yield from _accuracy(parity.accuracy)
    before, after = parity.before, parity.after
    faster = before.milliseconds / after.milliseconds
    yield "network", f"{_cost(before)} -> {_cost(after)}"
    yield "", f"{faster:.1f} times as fast on {parity.machine}"
    left = ", ".join(found.float_layers) or "no layer"
    operators = ", ".join(f"{count} {name}" for name, count in sorted(found.operators.items()))
    yield "calibration", f"{found.method}; in float32: {left}; in int8: {operators}"


def _accuracy(found: Accuracy) -> Iterator[tuple[str, str]]:
    yield (
        "accuracy",
        f"{found.before:.2f} % -> {found.after:.2f} % of recordings, by new {found.head} heads of "
        f"these recordings in {found.folds} folds",
    )
    for label, before in found.recall_before.items():
        after = found.recall_after[label]
        same = "" if after != before else " (the same)"
        yield "", f"{label}: {before:.1f} % -> {after:.1f} %{same}"


def _cost(cost: Cost) -> str:
    memory = "" if cost.megabytes is None else f", {cost.megabytes:.0f} MB at work"
    return f"{cost.bytes / 1e6:.2f} MB, {cost.milliseconds:.2f} ms{memory}"
