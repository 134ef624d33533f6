"""`edgeaudio weights`: the official weights of pre-trained extractors, on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeaudio.cli.common import (
    EXIT_STATUSES,
    JsonOption,
    help_of,
    print_table,
    progress_bar,
    require_extra,
)
from edgeaudio.cli.weights_import import (
    ReplaceOption,
    import_weights,
    kept_line,
    print_imported,
)
from edgeaudio.errors import EdgeAudioError, WeightsFileError

if TYPE_CHECKING:
    from edgeaudio_export.foreign import Facts
    from edgeaudio_export.weights import Official, WeightsInfo

weights_app = typer.Typer(
    help="The official weights of pre-trained extractors: fetch, import, check.",
    no_args_is_help=True,
)

weights_app.command("import", help=help_of(import_weights), epilog=EXIT_STATUSES)(import_weights)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `weights list` names it.")]


@weights_app.command("list", epilog=EXIT_STATUSES)
def list_weights(as_json: JsonOption = False) -> None:
    """Show which weights there are, their licences, and which are on this machine."""
    require_extra("export")
    from edgeaudio_export import foreign
    from edgeaudio_export.weights import officials, present

    kept = present()
    rows = [_row(official, kept) for official in officials().values()]
    others = sorted(kept.keys() - officials().keys())
    rows += [_other_row(id, kept[id]) for id in others]
    rows += [_extractor_row(name, facts) for name, facts in foreign.present().items()]
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for head in ("id", "licence", "size", "here"):
        table.add_column(head, no_wrap=True)
    for row in rows:
        size = f"{row['bytes'] / 1e6:.1f} MB" if row["bytes"] else ""
        table.add_row(row["id"], row["licence"], size, row["here"])
    print_table(table)


@weights_app.command("pull", epilog=EXIT_STATUSES)
def pull_weights(id: IdArgument, force: ReplaceOption = False) -> None:
    """Fetch official weights over the internet, check their digest, and keep them."""
    require_extra("export")
    from edgeaudio_export.weights import registry
    from edgeaudio_export.weights.pull import pull

    official = registry.get(id)
    typer.echo(f"Licence of {id}: {official.licence}. {official.citation}.", err=True)
    with progress_bar(f"fetching {id}") as progress:
        weights = pull(official, progress, overwrite=force)
    typer.echo(kept_line(weights))


@weights_app.command("verify", epilog=EXIT_STATUSES)
def verify_weights(
    id: IdArgument,
    chirp: Annotated[
        Path | None,
        typer.Option(help="chirp_44k.wav of openl3's tests: compares all published numbers."),
    ] = None,
) -> None:
    """Check kept weights: digest as of the import, shapes, origin, and published numbers."""
    require_extra("export")
    from edgeaudio_export import foreign
    from edgeaudio_export.weights import require, store

    if id in foreign.present():
        print_imported(foreign.load(id))  # which checks the digest
        typer.echo(f"{id} can be used.")
        return
    _check_published_id(id, chirp)
    weights = require(id)  # which checks all that; it raises where something does not hold
    info = weights.info
    values = sum(array.size for array in weights.arrays.values())
    lines = [
        ("kept in", str(store.path_of(id))),
        ("arrays", f"{len(weights.arrays)} with {values} values, of the expected shapes"),
        ("digest", f"{weights.digest} holds"),
        ("from", f"{info.source}, {info.date} (SHA-256 {info.source_sha256})"),
        ("official", "yes, by its digest" if info.official else "no, not by its digest"),
        ("licence", info.licence),
    ]
    for name, value in lines:
        typer.echo(f"  {name:10s} {value}")
    _verify_published(id, chirp, certain=info.official or chirp is not None)
    typer.echo(f"{id} can be used.")


def _check_published_id(id: str, chirp: Path | None) -> None:
    from edgeaudio_export.peers.published import PUBLISHED

    if chirp is not None and id not in PUBLISHED:
        raise EdgeAudioError(
            f"No numbers were published for {id}; leave out --chirp. There are some for "
            f"{' and '.join(PUBLISHED)}."
        )


def _verify_published(id: str, chirp: Path | None, *, certain: bool) -> None:
    """Print what was compared. certain: a difference is an error, not just another training."""
    from edgeaudio_export.peers.published import PUBLISHED, compare_chirp, compare_silence

    if id not in PUBLISHED:
        typer.echo("  published  no numbers")
        return
    compared = compare_chirp(id, chirp) if chirp else compare_silence(id)
    if not compared:
        typer.echo("  published  not compared: that needs --chirp FILE")
    for item in compared:
        typer.echo(
            f"  published  {item.what}: {'reproduced' if item.holds else 'DIFFERENT'} "
            f"(relative distance {item.distance:.1e}, allowed {item.tolerance:.0e})"
        )
    if all(item.holds for item in compared):
        return
    if certain:
        raise WeightsFileError(f"The weights of {id} do not give what was published for them.")
    typer.echo("  note       these are other weights than the official ones")


@weights_app.command("where", epilog=EXIT_STATUSES)
def where_weights() -> None:
    """Print the folder that weights are kept in (moved by the variable EDGEAUDIO_HOME)."""
    from edgeaudio_export.weights import weights_home

    typer.echo(weights_home())


def _row(official: Official, kept: dict[str, WeightsInfo | None]) -> dict[str, Any]:
    """What `list` says of official weights; bytes: as they are kept."""
    from edgeaudio_export.weights import store
    from edgeaudio_export.weights.importers import get_importer

    layout = get_importer(official.importer).layout
    source = official.source
    return {
        "id": official.id,
        "licence": official.licence,
        "citation": official.citation,
        "note": official.note,
        "file": (source or official.files[0]).name,
        "urls": list(source.urls) if source else [],
        "bytes": store.size_of(layout),
        "here": _here(official.id, kept),
    }


def _other_row(id: str, info: WeightsInfo | None) -> dict[str, Any]:
    """What `list` says of weights that are no official ones."""
    licence = info.licence if info else ""
    return {"id": id, "licence": licence, "bytes": None, "here": _here(id, {id: info})}


def _extractor_row(name: str, facts: Facts | None) -> dict[str, Any]:
    """What `list` says of an extractor that was imported with --as."""
    from edgeaudio_export import foreign

    return {
        "id": name,
        "licence": facts.licence or "not given" if facts else "",
        "file": facts.source if facts else "",
        "bytes": foreign.path_of(name).stat().st_size,
        "here": "extractor" if facts else "damaged",
    }


def _here(id: str, kept: dict[str, WeightsInfo | None]) -> str:
    if id not in kept:
        return "no"
    info = kept[id]
    if info is None:
        return "damaged"
    return "official" if info.official else "imported"
