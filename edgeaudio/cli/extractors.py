"""`edgeaudio extractors`: which extractors there are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from edgeaudio.cli.common import JsonOption, print_table, require_extra

if TYPE_CHECKING:
    from edgeaudio_export.overview import Line

Groups = tuple[tuple[str, tuple[str, ...]], ...]


def extractors(as_json: JsonOption = False) -> None:
    """List extractors with their cost, their licence, and whether their weights are here.

    s: length of a window. D: dimensions of an embedding. GMAC/s: multiplications for a second of
    sound, in 1e9. An option goes behind an @, as in openl3-mel256-music-512@librosa.
    """
    require_extra("export")
    from edgeaudio_export.overview import overview

    lines = overview()
    if as_json:
        for line in lines:
            typer.echo(json.dumps(line.record(), ensure_ascii=False))
        return
    _print_table(lines)
    typer.echo("\noptions, the first of each group is the default:")
    for ids, options in _families(lines).items():
        groups = (f"{group} {' | '.join(values)}" for group, values in options)
        typer.echo(f"  {ids}@...: {'; '.join(groups)}")


def _print_table(lines: list[Line]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("id", no_wrap=True)
    for head in ("kHz", "s", "D", "param.", "GMAC/s"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("licence", no_wrap=True)
    table.add_column("weights", no_wrap=True)
    for x in lines:
        table.add_row(
            x.id,
            f"{x.sample_rate / 1000:g}",
            f"{x.window_seconds:.3f}",
            str(x.dimensions),
            _count(x.parameters),
            f"{x.gigamacs_a_second:.2f}",
            x.licence,
            x.weights,
        )
    print_table(table)


def _count(number: int) -> str:
    if not number:
        return "-"
    return f"{number / 1e6:.1f} M" if number >= 100_000 else f"{number / 1e3:.1f} k"


def _families(lines: list[Line]) -> dict[str, Groups]:
    """Options by id, those of one family (as openl3-*) together."""
    found: dict[str, Groups] = {}
    for x in lines:
        groups = tuple(x.options.items())
        alike = sum(tuple(y.options.items()) == groups for y in lines) > 1
        if groups:
            found[f"{x.id.split('-')[0]}-*" if alike else x.id] = groups
    return found
