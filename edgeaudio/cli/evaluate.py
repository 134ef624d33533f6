"""`edgeaudio evaluate`: which extractor, head and fusion to ship."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast, get_args

import typer

from edgeaudio.cli.common import (
    DEFAULT_EXTRACTOR,
    print_table,
    progress_bar,
    report_skipped,
    require_extra,
)
from edgeaudio.errors import EdgeAudioError
from edgeaudio.types import FusionName

if TYPE_CHECKING:
    from edgeaudio_export.evaluate.results import Summary


def evaluate(
    data: Annotated[
        Path, typer.Argument(help="Folder with a sub-folder a class, or a CSV manifest.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report.")],
    extractor: Annotated[
        str, typer.Option(metavar="A,B,...", help="Extractor ids.")
    ] = DEFAULT_EXTRACTOR,
    head: Annotated[
        str, typer.Option(metavar="A,B,...", help="svm, d128, d512, mlp, knn.")
    ] = "svm",
    fusion: Annotated[
        str, typer.Option(metavar="A,B,...", help="late, early, early-mean.")
    ] = "late",
    dataset: Annotated[
        Literal["esc10"] | None,
        typer.Option(help="Take folds and groups from the names that this set gives its files."),
    ] = None,
    train_fraction: Annotated[
        str,
        typer.Option(metavar="X,Y,...", help="Shares of all recordings to train on, as 0.8,0.1."),
    ] = "0.8",
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=0, help="Processes (0: one a core).")
    ] = 0,
) -> None:
    """Cross-validate every combination of extractors, heads and fusions, and write a report.

    Folds are those of the data set (a manifest's column fold), else five, stratified, with groups
    kept whole. A group, or the same bytes, on both sides of a fold is an error. With a smaller
    training share, whole groups are drawn three times a fold. A run that was stopped goes on
    where it was; a second one opens no recording.
    """
    require_extra("export")
    from edgeaudio_export.evaluate.run import Request
    from edgeaudio_export.evaluate.run import evaluate as run

    fusions = _listed(fusion, "fusion")
    unknown = [name for name in fusions if name not in get_args(FusionName)]
    if unknown:
        names = ", ".join(get_args(FusionName))
        raise EdgeAudioError(f"There is no fusion {unknown[0]!r}; there is: {names}.")
    request = Request(
        data=data,
        extractors=_listed(extractor, "extractor"),
        heads=_listed(head, "head"),
        fusions=tuple(cast("FusionName", name) for name in fusions),
        train_fractions=tuple(_share(x) for x in _listed(train_fraction, "train-fraction")),
        esc10=dataset == "esc10",
        jobs=jobs,
    )
    with progress_bar("evaluating") as progress:
        found = run(request, output, lambda what, done, total: progress(done, total))
    report_skipped(found.dataset.skipped, found.dataset.notes)
    if not any(r.group for r in found.dataset.recordings):
        typer.echo("note: no groups are known; see the report", err=True)
    _print(list(found.summaries.values()))
    typer.echo(f"{output / 'report.html'}")


def _listed(text: str, option: str) -> tuple[str, ...]:
    """Names between commas. An extractor's own options follow its @ and are no names."""
    names: list[str] = []
    for part in (p.strip() for p in text.split(",")):
        if names and "@" in names[-1] and option == "extractor" and _is_option(names[-1], part):
            names[-1] += f",{part}"
        elif part and part not in names:
            names.append(part)
    if not names:
        raise EdgeAudioError(f"--{option} names nothing.")
    return tuple(names)


def _is_option(extractor: str, part: str) -> bool:
    from edgeaudio_export.catalogue import CATALOGUE

    entry = CATALOGUE.get(extractor.partition("@")[0])
    return entry is not None and any(part in values for values in entry.options.values())


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise EdgeAudioError(f"{text!r} is no share of the recordings; give 0.8, say.") from None


def _print(summaries: list[Summary]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("extractor", no_wrap=True)
    for name in ("head", "fusion"):
        table.add_column(name, no_wrap=True)
    for name in ("training", "accuracy", "sd"):
        table.add_column(name, justify="right", no_wrap=True)
    for s in summaries:
        share = f"{100 * s.train_fraction:g} %"
        figures = (f"{s.accuracy_mean:.1f} %", f"{s.accuracy_sd:.1f}")
        table.add_row(s.extractor, s.head, s.fusion, share, *figures)
    print_table(table)
