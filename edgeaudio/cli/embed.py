"""`edgeaudio embed`: recordings to embeddings, as the extractors' own code computes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgeaudio.cli.common import (
    DEFAULT_EXTRACTOR,
    ExtractorOption,
    ForceOption,
    counted,
    progress_bar,
    require_extra,
    seconds_option,
)

if TYPE_CHECKING:
    from edgeaudio_export.peers.batch import Done


def embed(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Recordings, or folders of them.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File to write (.npz); a folder for several inputs."),
    ],
    extractor: ExtractorOption = DEFAULT_EXTRACTOR,
    frontend: Annotated[
        Literal["orig", "kapre", "librosa"] | None,
        typer.Option(help="Generation of OpenL3's front-end (default: orig)."),
    ] = None,
    postprocess: Annotated[
        Literal["none", "pca-round", "pca-truncate"] | None,
        typer.Option(help="VGGish: PCA and 8-bit quantisation, rounding or truncating."),
    ] = None,
    hop: Annotated[
        float | None,
        seconds_option("Seconds between windows (default: half a window).", 0.001, 3600),
    ] = None,
    center: Annotated[
        bool | None,
        typer.Option(
            "--center/--no-center",
            help="Half a window of zeros in front (default: as the extractor's own code does).",
        ),
    ] = None,
    resampler: Annotated[
        Literal["soxr", "resampy"],
        typer.Option(help="soxr, as on a device, or resampy 0.2, as the peers."),
    ] = "soxr",
    weights: Annotated[
        list[Path] | None,
        typer.Option(help="Official weight file to use instead of the imported one."),
    ] = None,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where to compute.")] = "cpu",
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=0, help="Processes (0: as many as make sense).")
    ] = 0,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep and reuse what was computed.")
    ] = True,
    force: ForceOption = False,
) -> None:
    """Write the embeddings of recordings: `embedding` [T, D], `timestamps` [T] and `info`.

    With --resampler resampy, they are those of the extractor's own code. For a folder, a .npz
    a recording is written below --output.
    """
    require_extra("export")
    from edgeaudio.files import check_output
    from edgeaudio_export.peers.batch import Request, embed_all, plan

    planned = plan(inputs, output)
    files = tuple(weights or ())
    if planned[0].output == output:
        check_output(output, overwrite=True, inputs=(planned[0].recording, *files))
    given = {"frontend": frontend, "postprocess": postprocess}
    options = {group: value for group, value in given.items() if value}
    request = Request(extractor, options, files, hop, center, resampler, device)
    failed = status = 0
    with progress_bar("embedding") as progress:
        progress(0, len(planned))
        results = embed_all(planned, request, processes=jobs, overwrite=force, cache=cache)
        for number, done in enumerate(results, 1):
            progress(number, len(planned))
            failed += bool(done.error)
            status = max(status, done.status)
            _print(done)
    if failed:
        if len(planned) > 1:
            total = counted(len(planned), "recording")
            typer.echo(f"{failed} of {total} could not be embedded", err=True)
        raise typer.Exit(status)


def _print(done: Done) -> None:
    if done.error:
        typer.echo(f"edgeaudio: {done.error}", err=True)
        return
    kept = ", kept from before" if done.cached else ""
    shape = f"{counted(done.windows, 'window')} of {done.dimensions}{kept}"
    typer.echo(f"{done.job.output}: {shape}")
