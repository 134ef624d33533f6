"""The report in words and tables (Markdown)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeaudio_export.evaluate import tables

if TYPE_CHECKING:
    from edgeaudio_export.evaluate.run import Evaluation

_MISTAKES = 30


def markdown(found: Evaluation) -> str:
    """`report.md`."""
    parts = [_head(found), _accuracy(found), _published(found), _fusion(found)]
    parts += [_differences(found), _details(found), _mistakes(found)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _head(found: Evaluation) -> str:
    lines = [f"# {_text(tables.title(found))}", f"Best: **{_text(found.best.name)}**."]
    lines += [_text(text) for text in (tables.verdict(found), *tables.facts(found))]
    if not any(r.group for r in found.dataset.recordings):
        first, _, rest = tables.NO_GROUPS.partition(". ")
        lines.append(f"**{first}.** {rest}")
    lines += [f"Not used: {s.path.name} ({s.reason})." for s in found.dataset.skipped]
    return "\n\n".join(lines)


def _table(table: tables.Table) -> str:
    heads, rows = table
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(_text, row)) + " |" for row in lines)


def _text(text: str) -> str:
    """A name as text: it may hold what Markdown would take for more."""
    plain = " ".join(text.split()) if "\n" in text else text
    return plain.replace("|", "\\|").replace("<", "&lt;")


def _accuracy(found: Evaluation) -> str:
    heads, rows = tables.accuracies(found)
    at = heads.index("accuracy")
    marked = [[*row[:at], f"**{row[at]}**", *row[at + 1 :]] for row in rows]
    parts = ["## Accuracy", tables.pretraining(found), tables.ACCURACIES_SAID]
    parts += [_table((heads, marked)), "What the extractors cost:", _table(tables.costs(found))]
    return "\n\n".join(filter(None, parts))


def _published(found: Evaluation) -> str:
    table = tables.published(found)
    return f"## Published figures\n\n{_table(table)}" if table else ""


def _fusion(found: Evaluation) -> str:
    table = tables.fusions(found)
    return f"## Fusion\n\n{_table(table)}" if table else ""


def _differences(found: Evaluation) -> str:
    table = tables.differences(found)
    if table is None:
        return ""
    return f"## Differences\n\n{tables.differences_said(found)}\n\n{_table(table)}"


def _details(found: Evaluation) -> str:
    parts = ["## Classes"]
    labels = found.dataset.labels
    for configuration, summary in found.summaries.items():
        rows = [
            [label, tables.recall(summary, label), *map(str, counts)]
            for label, counts in zip(labels, summary.confusion, strict=True)
        ]
        heads = ["true", "recall", *(f"said {label}" for label in labels)]
        parts.append(f"### {_text(configuration.name)}\n\n{_table((heads, rows))}")
    return "\n\n".join(parts)


def _mistakes(found: Evaluation) -> str:
    wrong = tables.mistakes(found)
    head = f"## Mistakes of {_text(found.best.name)}\n\n"
    if not wrong:
        return head + "None."
    more = f"\n\n... and {len(wrong) - _MISTAKES} more." if len(wrong) > _MISTAKES else ""
    return head + _table(tables.mistake_rows(wrong[:_MISTAKES])) + more
