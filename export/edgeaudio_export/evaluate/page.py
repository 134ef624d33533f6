"""The report as one page that needs nothing else; recordings are linked, not copied."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from edgeaudio_export.evaluate import plots
from edgeaudio_export.evaluate.splits import relative_name
from edgeaudio_export.evaluate.tasks import Configuration

if TYPE_CHECKING:
    from edgeaudio_export.evaluate.run import Evaluation

_MISTAKES = 50
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2733; background: #fff; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #d5dde5; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: .3rem .8rem; text-align: left; border-bottom: 1px solid #e6ebf0; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.best td { background: #e8f3ea; font-weight: 600; }
.verdict { font-size: 1.15rem; background: #f2f6fa; padding: 1rem; border-left: 4px solid #2f6fab; }
.warning { background: #fff3e0; padding: .8rem 1rem; border-left: 4px solid #d9822b; }
svg { max-width: 100%; height: auto; } audio { height: 2rem; vertical-align: middle; }
summary { cursor: pointer; margin: .6rem 0; } .wide { overflow-x: auto; }
"""


def html(found: Evaluation, folder: Path) -> str:
    """`report.html`. folder: where it will lie, for the links to recordings."""
    best = max(found.summaries, key=lambda c: found.summaries[c].accuracy_mean)
    parts = [_head(found, best), _accuracy(found, best), _amount(found), _differences(found)]
    parts += [_classes(found, best), _reliability(found, best), _mistakes(found, best, folder)]
    title = escape(f"Evaluation of {found.dataset.root.name}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>\n<h1>{title}</h1>\n"
        + "\n".join(filter(None, parts))
        + "\n</body></html>\n"
    )


def _head(found: Evaluation, best: Configuration) -> str:
    dataset, summary = found.dataset, found.summaries[best]
    tested = sum(fold.test for fold in summary.folds)
    classes = ", ".join(f"{escape(label)} ({n})" for label, n in dataset.counts.items())
    weakest = min(summary.recall, key=lambda label: summary.recall[label])
    lines = [
        f'<p class="verdict">Best: <b>{escape(best.name)}</b>. Of 100 recordings that it was not '
        f"trained on, it labelled {summary.accuracy_mean:.1f} right (± {summary.accuracy_sd:.1f} "
        f"from fold to fold, {tested} recordings). It is weakest on <b>{escape(weakest)}</b>, "
        f"of which it found {summary.recall[weakest]:.0f} %.</p>",
        f"<p>{len(dataset.recordings)} recordings in {len(found.folds)} folds; {classes}.</p>",
    ]
    if not any(r.group for r in dataset.recordings):
        lines.append(
            '<p class="warning">No groups are known. If several recordings come from one session '
            "or machine, these figures are too good: give the manifest a column <code>group</code>."
            "</p>"
        )
    if dataset.skipped:
        rows = [(escape(s.path.name), escape(s.reason)) for s in dataset.skipped]
        lines.append(f"<details><summary>{len(rows)} files were not used</summary>")
        lines.append(_table(("file", "reason"), rows) + "</details>")
    return "\n".join(lines)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]], best: int = -1) -> str:
    """Cells are HTML already; those that begin with a digit or sign are set as numbers."""
    lines = ["<table><tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"]
    for k, row in enumerate(rows):
        cells = "".join(
            f'<td class="number">{c}</td>' if c[:1] in "+-0123456789" and c else f"<td>{c}</td>"
            for c in row
        )
        lines.append(f'<tr class="best">{cells}</tr>' if k == best else f"<tr>{cells}</tr>")
    return "\n".join([*lines, "</table>"])


def _accuracy(found: Evaluation, best: Configuration) -> str:
    ordered = sorted(found.summaries.items(), key=lambda item: -item[1].accuracy_mean)
    rows = [
        [
            *map(escape, (s.extractor, s.head, s.fusion)),
            f"{100 * s.train_fraction:g} %",
            f"{s.accuracy_mean:.1f} ± {s.accuracy_sd:.1f}",
            *(f"{fold.accuracy:.1f}" for fold in s.folds),
            f"{s.seconds:.0f} s",
        ]
        for _, s in ordered
    ]
    folds = [f"fold {escape(fold.name)}" for fold in found.folds]
    heads = ["extractor", "head", "fusion", "trained on", "accuracy", *folds, "time"]
    marked = [c for c, _ in ordered].index(best)
    return (
        "<h2>Accuracy</h2>\n<p>Recordings right, in percent: mean and standard deviation over "
        "folds. Trained on: share of all recordings. Time: training and testing in all folds on "
        "one core, without the embeddings.</p>\n"
        + _table(heads, rows, marked)
        + plots.accuracies(list(found.summaries.values()))
    )


def _amount(found: Evaluation) -> str:
    picture = plots.amount_of_data(list(found.summaries.values()))
    return f"<h2>More data</h2>\n{picture}" if picture else ""


def _differences(found: Evaluation) -> str:
    if not found.comparisons:
        return ""
    rows = [
        [*map(escape, (c.first, c.second)), f"{c.difference:+.1f}", _p(c.p)]
        for c in found.comparisons
    ]
    least = 2 / 2 ** len(found.folds)
    return (
        "<h2>Is the difference real?</h2>\n<p>Wilcoxon's signed-rank test over folds, two-sided: a "
        f"p under 0.05 is hardly chance. With {len(found.folds)} folds p can't be less than "
        f"{least:.3g}.</p>\n<details><summary>{len(rows)} pairs</summary>"
        + _table(("first", "second", "first - second", "p"), rows)
        + "</details>"
    )


def _p(value: float | None) -> str:
    return "equal" if value is None else f"{value:.3f}"


def _classes(found: Evaluation, best: Configuration) -> str:
    parts = ["<h2>Classes</h2>", "<p>How the recordings of each class were labelled.</p>"]
    for configuration, summary in found.summaries.items():
        opened = " open" if configuration == best else ""
        rows = [(escape(label), f"{value:.1f} %") for label, value in summary.recall.items()]
        parts.append(
            f"<details{opened}><summary>{escape(configuration.name)}</summary>"
            + f'<div class="wide">{plots.confusion(summary, found.dataset.labels)}</div>'
            + _table(("class", "found (recall)"), rows)
            + "</details>"
        )
    return "\n".join(parts)


def _reliability(found: Evaluation, best: Configuration) -> str:
    truth = [r.label for r in found.dataset.recordings]
    return (
        f"<h2>Can its likelihoods be believed?</h2>\n<p>{escape(best.name)}. Above the dashed line "
        "it is right more often than it says; figures beside the points count recordings.</p>\n"
        + plots.reliability(best, found.outcomes, truth)
    )


def _mistakes(found: Evaluation, best: Configuration, folder: Path) -> str:
    rows = list(_wrong(found, best, folder))
    head = f"<h2>Mistakes of {escape(best.name)}</h2>\n"
    if not rows:
        return head + "<p>None.</p>"
    note = f"<p>The first {_MISTAKES} of {len(rows)}.</p>" if len(rows) > _MISTAKES else ""
    heads = ("recording", "true", "said", "likelihood", "listen")
    return head + note + _table(heads, rows[:_MISTAKES])


def _wrong(found: Evaluation, best: Configuration, folder: Path) -> Iterator[list[str]]:
    dataset = found.dataset
    for outcome in found.outcomes:
        if outcome.configuration != best:
            continue
        for answer in outcome.answers:
            recording = dataset.recordings[answer.recording]
            if answer.label != recording.label:
                link = quote(os.path.relpath(recording.path.absolute(), folder.absolute()))
                yield [
                    escape(relative_name(recording.path, dataset.root)),
                    escape(recording.label),
                    escape(answer.label),
                    f"{max(answer.likelihoods):.2f}",
                    f'<audio controls preload="none" src="{escape(link)}"></audio>',
                ]
