"""`edgeaudio train`: labelled recordings to a head file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeaudio.cli.common import (
    DEFAULT_EXTRACTOR,
    DatasetOption,
    ExtractorOption,
    ForceOption,
    HopOption,
    JobsOption,
    progress_bar,
    report_skipped,
    require_extra,
)
from edgeaudio.cli.verify import validation_line
from edgeaudio.types import FusionName

if TYPE_CHECKING:
    from edgeaudio.contract import CrossValidation
    from edgeaudio_export.datasets import Dataset
    from edgeaudio_export.embed import Embedded
    from edgeaudio_export.extractors import Extractor

_WORTH_A_PROCESS = 100
"""So many recordings take longer than starting a process does."""


def train(
    data: Annotated[
        Path, typer.Argument(help="Folder with a sub-folder a class, or a CSV manifest.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Head file to write (.head).")],
    extractor: ExtractorOption = DEFAULT_EXTRACTOR,
    head: Annotated[str, typer.Option(help="Head: svm, d128, d512, mlp, knn, cnn.")] = "svm",
    fusion: Annotated[
        FusionName,
        typer.Option(
            help="late: sum of window likelihoods; early: maximum of embeddings, then the head; "
            "early-mean: their mean, then the head."
        ),
    ] = "late",
    hop: HopOption = None,
    dataset: DatasetOption = None,
    cross_validate: Annotated[
        bool, typer.Option(help="Say how good it will be, by five folds; the head keeps it.")
    ] = True,
    jobs: JobsOption = 0,
    force: ForceOption = False,
) -> None:
    """Train a head on labelled recordings.

    A manifest has the columns path and label, and may have group, fold and split; with a split
    column, the rows that say `train` are used. WAV, FLAC, OGG and MP3, any rate and channels.
    """
    require_extra("export")
    from edgeaudio.files import check_output
    from edgeaudio_export.datasets import load_dataset
    from edgeaudio_export.datasets.known import known_set
    from edgeaudio_export.extractors import get_extractor
    from edgeaudio_export.heads import write_head
    from edgeaudio_export.heads.kinds import check_head
    from edgeaudio_export.train import fit_head

    check_output(output, overwrite=force, inputs=(data,))
    found = get_extractor(extractor)
    check_head(head, found.id)
    recordings = load_dataset(data, known_set(dataset) if dataset else None).training()
    with progress_bar("embedding") as progress:
        embedded = _embedded(recordings, found, hop, jobs, progress)
    report_skipped(embedded.dataset.skipped, embedded.dataset.notes)
    validated = None
    if cross_validate:
        with progress_bar("cross-validating") as progress:
            validated = _validated(embedded, found, head, fusion, hop, jobs, progress)
    with progress_bar("fitting"):
        trained = fit_head(embedded, found, head, fusion, validated)
    write_head(trained.head, output, overwrite=force)
    for label, count in trained.dataset.counts.items():
        typer.echo(f"{count:6d} recordings  {label}")
    if validated:
        typer.echo(f"cross-validated: {validation_line(validated)}")
    typer.echo(f"{output}: {head} on {found.id}, {fusion} fusion. Next: edgeaudio export")


def _embedded(
    dataset: Dataset,
    extractor: Extractor,
    hop: float | None,
    jobs: int,
    progress: Callable[[int, int], None],
) -> Embedded:
    """Of what `evaluate` kept, where anything can be kept."""
    from edgeaudio.errors import OutputError
    from edgeaudio_export.embed import embed_dataset
    from edgeaudio_export.engines import get_engine
    from edgeaudio_export.evaluate.windows import embedded
    from edgeaudio_export.home import cache
    from edgeaudio_export.processes import cores
    from edgeaudio_export.weights.store import make_folder

    try:
        make_folder(cache("windows"))
    except OutputError:
        return embed_dataset(dataset, extractor, hop, progress)
    worth = max(1, len(dataset.recordings) // _WORTH_A_PROCESS)
    engine = get_engine("local", jobs or min(cores(), worth))
    return embedded(dataset, extractor, hop, engine, progress)


def _validated(
    embedded: Embedded,
    extractor: Extractor,
    head: str,
    fusion: FusionName,
    hop: float | None,
    jobs: int,
    progress: Callable[[int, int], None],
) -> CrossValidation | None:
    """None, said on standard error, where there is too little data, or it would leak."""
    from edgeaudio.errors import DataError
    from edgeaudio_export.evaluate.cross_validate import cross_validate

    try:
        return cross_validate(
            embedded, extractor, head, fusion, hop=hop, jobs=jobs, progress=progress
        )
    except DataError as error:
        typer.echo(f"note: not cross-validated: {error}", err=True)
        return None
