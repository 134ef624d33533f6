"""`edgeaudio demo`: a data set to try everything on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeaudio.cli.common import progress_bar


def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder to write.")],
) -> None:
    """Write a small labelled data set of GENERATED engine sounds, to try things on."""
    from edgeaudio_export.datasets.generated_engine import CLASSES, SHIFT_NAME, write_dataset

    with progress_bar("generating") as progress:
        write_dataset(folder, progress)
    typer.echo(f"{folder}: generated sound, no recordings; classes {', '.join(CLASSES)}.")
    typer.echo(f"{folder / SHIFT_NAME} goes through all three: something to listen to.")
