"""`edgeaudio export`: extractor and head to one model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeaudio.cli.common import (
    DEFAULT_EXTRACTOR,
    ForceOption,
    progress_bar,
    report_skipped,
    require_extra,
    seconds_option,
)
from edgeaudio.contract import DEFAULT_HORIZON

if TYPE_CHECKING:
    from edgeaudio_export.calibration import Calibration
    from edgeaudio_export.extractors import Extractor


def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="Model file to write (.onnx).")],
    extractor: Annotated[
        str | None,
        typer.Option(help="Extractor id (default: the head's, or logmel-stats without one)."),
    ] = None,
    head: Annotated[
        Path | None, typer.Option(help="Head file (.head); without it, the extractor alone.")
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Recordings that give level statistics and golden vectors. One window a class, "
            "8 at most, is STORED in the model file.",
        ),
    ] = None,
    horizon: Annotated[
        float, seconds_option("Seconds that one live decision covers.", 0.01, 86_400)
    ] = DEFAULT_HORIZON,
    force: ForceOption = False,
) -> None:
    """Join extractor and head into ONE model file, with its contract and golden vectors."""
    require_extra("export")
    from edgeaudio.files import check_output, write_atomic
    from edgeaudio_export.assemble import assemble, check_match
    from edgeaudio_export.calibration import RECORDED
    from edgeaudio_export.extractors import get_extractor
    from edgeaudio_export.heads import read_head

    inputs = tuple(path for path in (head, calibrate) if path)
    check_output(output, overwrite=force, inputs=inputs)
    head_file = read_head(head) if head else None
    found = get_extractor(
        extractor or (head_file.info.extractor_id if head_file else DEFAULT_EXTRACTOR)
    )
    check_match(found, head_file, horizon)
    calibration = _calibration(calibrate, found) if calibrate else None
    data = assemble(found, head_file, horizon=horizon, calibration=calibration)
    write_atomic(output, data, overwrite=force)
    typer.echo(f"{output}: {len(data) / 1e6:.1f} MB, {_contents(found, head_file is not None)}.")
    if calibration:
        names = ", ".join(name.removeprefix(RECORDED) for name in calibration.windows)
        typer.echo(f"It holds one recorded window each of: {names} (for its self-test).")


def _calibration(data: Path, extractor: Extractor) -> Calibration:
    from edgeaudio_export.calibration import calibrate
    from edgeaudio_export.datasets import load_dataset

    dataset = load_dataset(data)
    with progress_bar("calibrating") as progress:
        calibration = calibrate(dataset, extractor, progress)
    report_skipped(calibration.skipped, dataset.notes)
    return calibration


def _contents(extractor: Extractor, with_head: bool) -> str:
    return f"{extractor.id} {'with a head' if with_head else 'without a head'}, float32"
