"""`edgeaudio train`: labelled recordings to a head file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from edgeaudio.cli.common import (
    DEFAULT_EXTRACTOR,
    ExtractorOption,
    ForceOption,
    HopOption,
    progress_bar,
    report_skipped,
    require_extra,
)


def train(
    data: Annotated[
        Path, typer.Argument(help="Folder with a sub-folder a class, or a CSV manifest.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Head file to write (.head).")],
    extractor: ExtractorOption = DEFAULT_EXTRACTOR,
    head: Annotated[str, typer.Option(help="Head: svm, d128, d512, mlp, knn.")] = "svm",
    fusion: Annotated[
        Literal["late", "early", "early-mean"],
        typer.Option(
            help="late: sum of window likelihoods; early: maximum of embeddings, then the head; "
            "early-mean: their mean, then the head."
        ),
    ] = "late",
    hop: HopOption = None,
    force: ForceOption = False,
) -> None:
    """Train a head on labelled recordings.

    A manifest has the columns path and label, and may have group, fold and split; with a split
    column, the rows that say `train` are used. WAV, FLAC, OGG and MP3, any rate and channels.
    """
    require_extra("export")
    from edgeaudio.files import check_output
    from edgeaudio_export.datasets import load_dataset
    from edgeaudio_export.embed import embed_dataset
    from edgeaudio_export.extractors import get_extractor
    from edgeaudio_export.heads import write_head
    from edgeaudio_export.train import check_head, fit_head

    check_output(output, overwrite=force, inputs=(data,))
    check_head(head)
    found = get_extractor(extractor)
    dataset = load_dataset(data).training()
    with progress_bar("embedding") as progress:
        embedded = embed_dataset(dataset, found, hop, progress)
    with progress_bar("fitting"):
        trained = fit_head(embedded, found, head, fusion)
    write_head(trained.head, output, overwrite=force)
    report_skipped(trained.dataset.skipped, trained.dataset.notes)
    for label, count in trained.dataset.counts.items():
        typer.echo(f"{count:6d} recordings  {label}")
    typer.echo(f"{output}: {head} on {found.id}, {fusion} fusion. Next: edgeaudio export")
