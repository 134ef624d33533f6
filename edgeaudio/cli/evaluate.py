"""`edgeaudio evaluate`: which extractor, head and fusion to ship."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast, get_args

import typer

from edgeaudio.cli.common import (
    DEFAULT_EXTRACTOR,
    DatasetOption,
    JobsOption,
    print_table,
    progress_bar,
    report_skipped,
    require_extra,
    seconds_option,
)
from edgeaudio.errors import EdgeAudioError
from edgeaudio.types import FusionName

if TYPE_CHECKING:
    from edgeaudio_export.evaluate.results import Summary


def evaluate(
    data: Annotated[
        Path,
        typer.Argument(
            help="Folder with a sub-folder a class, a CSV manifest, or with --dataset an archive."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report.")],
    extractor: Annotated[
        str, typer.Option(metavar="A,B,...", help="Extractor ids.")
    ] = DEFAULT_EXTRACTOR,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="svm, d128, d512, mlp, knn, cnn (default: the protocol's; svm for folds).",
        ),
    ] = None,
    fusion: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="late, early, early-mean (default: late)."),
    ] = None,
    dataset: DatasetOption = None,
    protocol: Annotated[
        Literal["folds", "grollmisch2020", "cramer2019"],
        typer.Option(help="How to split and how often; the report says what it is."),
    ] = "folds",
    train_fraction: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,...",
            help="Shares of all recordings to train on, as 0.8,0.1 (default: 0.8).",
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Runs with other seeds (default: the protocol's)."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Networks trained from scratch beside: cnn, dense, none (default: both, where "
            "torch is installed).",
        ),
    ] = None,
    hop: Annotated[
        float | None,
        seconds_option("Seconds between windows (default: half a window).", 0.001, 3600),
    ] = None,
    audio: Annotated[
        bool,
        typer.Option(help="The page holds the recordings that were labelled wrongly, or links."),
    ] = True,
    engine: Annotated[
        Literal["local", "dask", "ray"],
        typer.Option(help="Where: this machine, or a cluster that runs."),
    ] = "local",
    engine_address: Annotated[
        str | None, typer.Option(metavar="URL", help="Of the cluster, as tcp://HOST:8786.")
    ] = None,
    jobs: JobsOption = 0,
) -> None:
    """Cross-validate every combination of extractors, heads and fusions, and write a report.

    Folds are those of the data set (a manifest's column fold, or split with train and test), else
    five, stratified, with groups kept whole. A group, or the same bytes, on both sides is an
    error. With a smaller training share, whole groups are drawn. What was done before is not done
    again: a run that was stopped goes on where it was, a second one opens no recording.
    """
    require_extra("export")
    from edgeaudio_export.datasets.known import known_set
    from edgeaudio_export.engines import get_engine
    from edgeaudio_export.evaluate.plan import Request
    from edgeaudio_export.evaluate.run import evaluate as run

    request = Request(
        data=data,
        extractors=_listed(extractor, "extractor"),
        heads=_listed(head, "head") if head is not None else None,
        fusions=_fusions(fusion),
        train_fractions=_shares(train_fraction),
        known=known_set(dataset) if dataset else None,
        protocol=protocol,
        repeats=repeats,
        baselines=_baselines(baseline),
        hop=hop,
        audio=audio,
    )
    if engine == "local" and engine_address:
        raise EdgeAudioError("--engine-address names a cluster; give --engine dask or ray, too.")
    chosen = get_engine(engine, jobs, engine_address)
    with progress_bar("evaluating") as progress:
        found = run(request, output, lambda what, done, total: progress(done, total), chosen)
    report_skipped(found.dataset.skipped, (*found.dataset.notes, *found.notes))
    if not any(r.group for r in found.dataset.recordings):
        typer.echo("note: no groups are known; see the report", err=True)
    _print(list(found.summaries.values()))
    typer.echo(f"{output / 'report.html'}")


def _fusions(text: str | None) -> tuple[FusionName, ...] | None:
    if text is None:
        return None
    names = _listed(text, "fusion")
    unknown = [name for name in names if name not in get_args(FusionName)]
    if unknown:
        known = ", ".join(get_args(FusionName))
        raise EdgeAudioError(f"There is no fusion {unknown[0]!r}; there is: {known}.")
    return tuple(cast("FusionName", name) for name in names)


def _shares(text: str | None) -> tuple[float, ...] | None:
    return None if text is None else tuple(_share(x) for x in _listed(text, "train-fraction"))


def _baselines(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = _listed(text, "baseline")
    if "none" in names and len(names) > 1:
        raise EdgeAudioError("--baseline none stands alone.")
    return () if names == ("none",) else names


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
