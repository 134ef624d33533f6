"""The report as one page that needs nothing else."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from edgeaudio_export.evaluate import plots, tables
from edgeaudio_export.evaluate.sound import as_data_url

if TYPE_CHECKING:
    from edgeaudio_export.evaluate.run import Evaluation

_MISTAKES = 50
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2733; background: #fff; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #d5dde5; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: .3rem .8rem; text-align: left; border-bottom: 1px solid #e6ebf0; }
th, td:first-child { white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.best td { background: #e8f3ea; font-weight: 600; }
.verdict { font-size: 1.15rem; background: #f2f6fa; padding: 1rem; border-left: 4px solid #2f6fab; }
.warning { background: #fff3e0; padding: .8rem 1rem; border-left: 4px solid #d9822b; }
svg { max-width: 100%; height: auto; } audio { height: 2rem; vertical-align: middle; }
summary { cursor: pointer; margin: .6rem 0; } .wide { overflow-x: auto; }
"""


def html(found: Evaluation, folder: Path) -> str:
    """`report.html`. folder: where it will lie, for the links to recordings."""
    parts = [_head(found), _accuracy(found), _published(found), _amount(found), _fusion(found)]
    parts += [_differences(found), _classes(found), _reliability(found), _mistakes(found, folder)]
    title = escape(tables.title(found))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>\n<h1>{title}</h1>\n"
        + "\n".join(filter(None, parts))
        + "\n</body></html>\n"
    )


def _head(found: Evaluation) -> str:
    dataset, best = found.dataset, found.best
    what = f"{best.extractor} + {best.head}, {best.fusion} fusion"
    lines = [
        f'<p class="verdict">Best: <b>{escape(what)}</b>. {escape(tables.verdict(found))}</p>',
        *(f"<p>{escape(text)}</p>" for text in (tables.pretraining(found),) if text),
        "<ul>" + "".join(f"<li>{escape(fact)}</li>" for fact in tables.facts(found)) + "</ul>",
    ]
    if not any(r.group for r in dataset.recordings):
        lines.append(f'<p class="warning">{escape(tables.NO_GROUPS)}</p>')
    if dataset.skipped:
        rows = [[s.path.name, s.reason] for s in dataset.skipped]
        lines.append(f"<details><summary>{len(rows)} files were not used</summary>")
        lines.append(_table((["file", "reason"], rows)) + "</details>")
    return "\n".join(lines)


def _table(table: tables.Table, best: int = -1, sound: list[str] | None = None) -> str:
    """Cells that begin with a digit or a sign are set as numbers. sound: HTML behind each row."""
    heads, rows = table
    titles = [*heads, "listen"] if sound else heads
    lines = ["<table><tr>" + "".join(f"<th>{escape(head)}</th>" for head in titles) + "</tr>"]
    for k, row in enumerate(rows):
        cells = "".join(
            f'<td class="number">{escape(c)}</td>'
            if c and c[0] in "+-0123456789"
            else f"<td>{escape(c)}</td>"
            for c in row
        )
        cells += f"<td>{sound[k]}</td>" if sound else ""
        lines.append(f'<tr class="best">{cells}</tr>' if k == best else f"<tr>{cells}</tr>")
    return "\n".join([*lines, "</table>"])


def _accuracy(found: Evaluation) -> str:
    return (
        f"<h2>Accuracy</h2>\n<p>{escape(tables.ACCURACIES_SAID)}</p>\n"
        + _table(tables.accuracies(found), best=0)
        + plots.accuracies(list(found.summaries.values()))
        + "<details><summary>What the extractors cost a device</summary>"
        + _table(tables.costs(found))
        + "</details>"
    )


def _published(found: Evaluation) -> str:
    said = "Percent of recordings, late fusion, from the papers, and ours by the protocol "
    return _section("Published figures", f"{said}{found.protocol.id}.", tables.published(found))


def _section(title: str, said: str, table: tables.Table | None) -> str:
    """A table with words before it; nothing without one."""
    if table is None:
        return ""
    return f"<h2>{escape(title)}</h2>\n<p>{escape(said)}</p>\n{_table(table)}"


def _amount(found: Evaluation) -> str:
    picture = plots.amount_of_data(list(found.summaries.values()))
    return f"<h2>More data</h2>\n{picture}" if picture else ""


def _fusion(found: Evaluation) -> str:
    return _section(
        "Early or late",
        "late: the likelihoods of all windows are summed. early: their embeddings are pooled first "
        "(maximum), which helps with events that fill part of a recording.",
        tables.fusions(found),
    )


def _differences(found: Evaluation) -> str:
    table = tables.differences(found)
    if table is None:
        return ""
    return (
        f"<h2>Is the difference real?</h2>\n<p>{escape(tables.differences_said(found))}</p>\n"
        f"<details><summary>{len(table[1])} pairs</summary>" + _table(table) + "</details>"
    )


def _classes(found: Evaluation) -> str:
    parts = [
        "<h2>Classes</h2>",
        "<p>How the recordings of each class were labelled; where training recordings were drawn "
        "several times, or all was repeated, each counts as often.</p>",
    ]
    for configuration in found.ranked:
        summary = found.summaries[configuration]
        opened = " open" if configuration == found.best else ""
        rows = [[label, tables.recall(summary, label)] for label in found.dataset.labels]
        parts.append(
            f"<details{opened}><summary>{escape(configuration.name)}</summary>"
            + f'<div class="wide">{plots.confusion(summary, found.dataset.labels)}</div>'
            + _table((["class", "found (recall), percent"], rows))
            + "</details>"
        )
    return "\n".join(parts)


def _reliability(found: Evaluation) -> str:
    truth = [r.label for r in found.dataset.recordings]
    best = escape(found.best.name)
    return (
        f"<h2>Can its likelihoods be believed?</h2>\n<p>{best}. Above the dashed line it is right "
        "more often than it says; figures beside the points count recordings.</p>\n"
        + plots.reliability(found.best, found.outcomes, truth)
    )


def _mistakes(found: Evaluation, folder: Path) -> str:
    wrong = tables.mistakes(found)
    head = f"<h2>Mistakes of {escape(found.best.name)}</h2>\n"
    if not wrong:
        return head + "<p>None.</p>"
    note = f"<p>The first {_MISTAKES} of {len(wrong)}.</p>" if len(wrong) > _MISTAKES else ""
    if found.request.audio:
        note += "<p>This page holds their sound, the first 30 s of each.</p>"
    else:
        note += "<p>Recordings are played from where they lie, seen from this page.</p>"
    shown = wrong[:_MISTAKES]
    players = [_player(m.path, folder, found.request.audio) for m in shown]
    return head + note + _table(tables.mistake_rows(shown), sound=players)


def _player(path: Path, folder: Path, inside: bool) -> str:
    source = as_data_url(path) if inside else None
    if source is None:
        source = quote(os.path.relpath(path.absolute(), folder.absolute()))
    return f'<audio controls preload="none" src="{escape(source)}"></audio>'
