"""The report's pictures, as SVG that can be put into a page; the same data give the same bytes."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeaudio_export.evaluate.results import Summary
from edgeaudio_export.evaluate.tasks import Configuration, Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE: Any = {
    "svg.hashsalt": "edgeaudio",
    "svg.fonttype": "none",  # letters stay letters
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_BINS = 10
_LONGEST = 24  # letters of a label


def accuracies(summaries: Sequence[Summary]) -> str:
    """A bar with its standard deviation for each configuration, the best on top."""
    ordered = sorted(summaries, key=lambda s: s.accuracy_mean)
    names = [f"{s.extractor} + {s.head}, {s.fusion}" for s in ordered]
    with _figure(7.2, 0.8 + 0.28 * len(ordered)) as (figure, axes, svg):
        shares = sorted({s.trained_on for s in ordered})
        colours = {share: f"C{k}" for k, share in enumerate(reversed(shares))}
        for k, s in enumerate(ordered):
            axes.barh(k, s.accuracy_mean, xerr=s.accuracy_sd, color=colours[s.trained_on])
            axes.text(1, k, f"{s.accuracy_mean:.1f}", va="center", color="white")
        axes.set_yticks(range(len(ordered)), names)
        axes.set_xlim(0, 100)
        axes.set_xlabel("recordings right, percent (mean and standard deviation over folds)")
        for share, colour in colours.items():
            axes.barh(0, 0, color=colour, label=f"trained on {share:.0f} %")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.35 / figure.get_figheight() - 0.1))
    return svg[0]


def amount_of_data(summaries: Sequence[Summary]) -> str:
    """Accuracy against the share of recordings that was trained on; empty for one share."""
    lines: dict[str, list[Summary]] = {}
    for s in summaries:
        lines.setdefault(f"{s.extractor} + {s.head}, {s.fusion}", []).append(s)
    if max(map(len, lines.values()), default=0) < 2:
        return ""
    with _figure(7.2, 3.4) as (_, axes, svg):
        for name, points in lines.items():
            points = sorted(points, key=lambda s: s.trained_on)
            axes.errorbar(
                [s.trained_on for s in points],
                [s.accuracy_mean for s in points],
                [s.accuracy_sd for s in points],
                label=name,
                marker="o",
                capsize=3,
            )
        axes.set_xlabel("trained on, percent of all recordings")
        axes.set_ylabel("recordings right, percent")
        axes.set_xlim(0, 100)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return svg[0]


def confusion(summary: Summary, labels: Sequence[str]) -> str:
    """True labels in rows, said ones in columns; shares of a row as colour, counts as text."""
    counts = np.array(summary.confusion)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    size = 1.6 + 0.42 * len(labels)
    with _figure(size + 0.8, size) as (_, axes, svg):
        edges = np.arange(len(labels) + 1) - 0.5
        axes.pcolormesh(edges, edges, shares, cmap="Blues", vmin=0, vmax=1)
        axes.invert_yaxis()
        axes.set_aspect("equal")
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=colour)
        shown = [
            label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…" for label in labels
        ]
        axes.set_xticks(range(len(labels)), shown, rotation=60, ha="right")
        axes.set_yticks(range(len(labels)), shown)
        axes.set_xlabel("said")
        axes.set_ylabel("true")
    return svg[0]


def reliability(
    configuration: Configuration, outcomes: Sequence[Outcome], truth: Sequence[str]
) -> str:
    """How often a decision is right, against the likelihood that it came with."""
    answers = [a for o in outcomes if o.configuration == configuration for a in o.answers]
    said = np.array([max(a.likelihoods) for a in answers])
    right = np.array([a.label == truth[a.recording] for a in answers])
    bins = np.minimum((said * _BINS).astype(int), _BINS - 1)
    used = [k for k in range(_BINS) if (bins == k).any()]
    with _figure(4.2, 3.6) as (_, axes, svg):
        axes.plot([0, 1], [0, 1], color="0.7", linestyle="--", label="as likely as it says")
        axes.plot(
            [said[bins == k].mean() for k in used],
            [right[bins == k].mean() for k in used],
            marker="o",
        )
        for k in used:
            at = (said[bins == k].mean(), right[bins == k].mean())
            axes.annotate(f" {(bins == k).sum()}", at, va="top", fontsize=7)
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.05)
        axes.set_xlabel("likelihood of the label that was said")
        axes.set_ylabel("share that was right")
        axes.legend(loc="lower right", frameon=False)
    return svg[0]


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Figure, Any, list[str]]]:
    """A figure in inches, and where its SVG will be."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    svg: list[str] = []
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # Letters that its font lacks are the browser's to draw.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        figure = Figure(figsize=(width, height))
        FigureCanvasSVG(figure)
        yield figure, figure.add_subplot(), svg
        memory = io.StringIO()
        figure.savefig(memory, format="svg", bbox_inches="tight", metadata={"Date": None})
    svg.append(re.sub(r"^.*?(?=<svg)", "", memory.getvalue(), flags=re.DOTALL))
