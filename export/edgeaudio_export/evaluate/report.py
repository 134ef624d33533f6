"""The report in words and tables (Markdown)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from edgeaudio_export.evaluate.results import Summary
from edgeaudio_export.evaluate.splits import relative_name

if TYPE_CHECKING:
    from edgeaudio_export.evaluate.run import Evaluation

_MISTAKES = 30


def markdown(found: Evaluation) -> str:
    """`report.md`."""
    parts = [_head(found), _table(found), _early_late(found), _tests(found)]
    parts += [_details(found), _mistakes(found)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _head(found: Evaluation) -> str:
    dataset = found.dataset
    groups = {r.group for r in dataset.recordings if r.group}
    lines = [
        f"# Evaluation of {dataset.root.name}",
        "",
        f"{len(dataset.recordings)} recordings, {len(found.folds)} folds, classes: "
        + ", ".join(f"{label} ({n})" for label, n in dataset.counts.items())
        + ".",
    ]
    if groups:
        lines.append(f"{len(groups)} groups, none of which is on both sides of a fold.")
    else:
        lines.append(
            "**No groups are known.** If several recordings come from one session or machine, "
            "these figures are too good: give the manifest a column `group`."
        )
    lines += [f"Not used: {s.path.name} ({s.reason})." for s in dataset.skipped]
    lines += [f"Note: {note}." for note in dataset.notes]
    return "\n".join(lines)


def _rows(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *map(list, rows)]
    return "\n".join("| " + " | ".join(map(_cell, cells)) + " |" for cells in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _figure(summary: Summary) -> str:
    return f"{summary.accuracy_mean:.1f} ± {summary.accuracy_sd:.1f}"


def _table(found: Evaluation) -> str:
    names = [fold.name for fold in found.folds]
    rows = []
    for s in sorted(found.summaries.values(), key=lambda s: (-s.train_fraction, -s.accuracy_mean)):
        folds = [f"{fold.accuracy:.1f}" for fold in s.folds]
        share = f"{100 * s.train_fraction:g} %"
        cells = [s.extractor, s.head, s.fusion, share, f"**{_figure(s)}**", *folds]
        rows.append([*cells, f"{s.seconds:.0f} s"])
    heads = ["extractor", "head", "fusion", "training", "accuracy", *(f"fold {n}" for n in names)]
    heads.append("time")
    return (
        "## Accuracy\n\nRecordings right, in percent: mean and standard deviation over folds. "
        "Training: share of all recordings that is trained on. Time: training and testing in all "
        "folds, on one core, without the embeddings.\n\n" + _rows(heads, rows)
    )


def _early_late(found: Evaluation) -> str:
    by_key: dict[tuple[str, str, float], dict[str, Summary]] = {}
    for s in found.summaries.values():
        by_key.setdefault((s.extractor, s.head, s.train_fraction), {})[s.fusion] = s
    fusions = list(dict.fromkeys(s.fusion for s in found.summaries.values()))
    if len(fusions) < 2:
        return ""
    rows = [
        [extractor, head, f"{100 * share:g} %", *(_figure(group[f]) for f in fusions)]
        for (extractor, head, share), group in by_key.items()
    ]
    return "## Fusion\n\n" + _rows(["extractor", "head", "training", *fusions], rows)


def _tests(found: Evaluation) -> str:
    if not found.comparisons:
        return ""
    rows = [
        [c.first, c.second, f"{c.difference:+.1f}", "equal" if c.p is None else f"{c.p:.3f}"]
        for c in found.comparisons
    ]
    least = 2 / 2 ** len(found.folds)
    return (
        "## Differences\n\nWilcoxon's signed-rank test over folds, two-sided. With "
        f"{len(found.folds)} folds p can't be less than {least:.3g}.\n\n"
        + _rows(["first", "second", "first - second", "p"], rows)
    )


def _details(found: Evaluation) -> str:
    parts = ["## Classes"]
    labels = found.dataset.labels
    for configuration, summary in found.summaries.items():
        rows = [
            [label, f"{summary.recall[label]:.1f}", *map(str, counts)]
            for label, counts in zip(labels, summary.confusion, strict=True)
        ]
        parts.append(
            f"### {configuration.name}\n\n"
            + _rows(["true", "recall", *(f"said {label}" for label in labels)], rows)
        )
    return "\n\n".join(parts)


def _mistakes(found: Evaluation) -> str:
    best = max(found.summaries, key=lambda c: found.summaries[c].accuracy_mean)
    rows = list(_wrong(found, best.name))
    more = f"\n\n... and {len(rows) - _MISTAKES} more." if len(rows) > _MISTAKES else ""
    if not rows:
        return f"## Mistakes of {best.name}\n\nNone."
    table = _rows(["recording", "true", "said", "likelihood"], rows[:_MISTAKES])
    return f"## Mistakes of {best.name}\n\n{table}{more}"


def _wrong(found: Evaluation, name: str) -> Iterator[list[str]]:
    dataset = found.dataset
    for outcome in found.outcomes:
        if outcome.configuration.name != name:
            continue
        for answer in outcome.answers:
            recording = dataset.recordings[answer.recording]
            if answer.label != recording.label:
                path = relative_name(recording.path, dataset.root)
                yield [path, recording.label, answer.label, f"{max(answer.likelihoods):.2f}"]
