"""`edgeaudio datasets`: the published data sets that are known, and whether a folder holds one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeaudio.cli.common import counted, print_table, report_skipped, require_extra

if TYPE_CHECKING:
    from edgeaudio_export.datasets.known import KnownSet


def datasets(
    id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Show what is known of this one.")
    ] = None,
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PATH]", help="Check its archive, unpacked or not, or a manifest of it."
        ),
    ] = None,
) -> None:
    """List the published data sets that can be evaluated as they come, or check one.

    Nothing is downloaded: fetch a set from its page, mind its licence, and give the folder that
    was unpacked (or the .zip or .tar.gz itself) to `evaluate --dataset ID`. Exit status 1: parts
    are missing.
    """
    require_extra("export")
    from edgeaudio_export.datasets.known import KNOWN, known_set

    if id is None:
        _list(list(KNOWN.values()))
        return
    known = known_set(id)
    if path is None:
        _show(known)
        return
    if not _check(known, path):
        raise typer.Exit(1)


def _list(sets: list[KnownSet]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("id", no_wrap=True)
    table.add_column("data set", overflow="fold")
    table.add_column("files", justify="right")
    table.add_column("official split", no_wrap=True)
    for known in sets:
        table.add_row(known.id, known.title, str(known.files), known.split)
    print_table(table)
    typer.echo("\nedgeaudio datasets ID: what it holds, citation, page. ID PATH: check a folder.")


def _show(known: KnownSet) -> None:
    lines = (
        ("id", ", ".join((known.id, *known.names))),
        ("title", known.title),
        ("files", str(known.files)),
        ("classes", ", ".join(known.classes) or "as its folders or tables say"),
        ("left out", ", ".join(known.dropped)),
        ("split", known.split),
        ("expected", known.layout),
        ("licence", known.licence),
        ("citation", known.citation),
        ("page", known.page or "none"),
    )
    for name, value in lines:
        if value:
            typer.echo(f"{name:9s} {value}")


def _check(known: KnownSet, path: Path) -> bool:
    """Print what is there and what is missing; whether nothing is."""
    from edgeaudio.errors import DataError
    from edgeaudio_export.datasets.known import missing, read_known

    try:
        found = read_known(known, path)
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}.") from None
    report_skipped(found.skipped, found.notes)
    for label, count in found.counts.items():
        typer.echo(f"{count:6d} recordings  {label}")
    groups = {r.group for r in found.recordings if r.group}
    typer.echo(f"{counted(len(groups), 'group')}; official split: {known.split}")
    lost = missing(known, found)
    for what in lost:
        typer.echo(f"not complete: {what}")
    typer.echo(
        f"{known.title}: " + ("not complete; see its page: " + known.page if lost else "complete")
    )
    typer.echo(f"licence: {known.licence}\ncite: {known.citation}")
    return not lost
