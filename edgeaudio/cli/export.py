"""`edgeaudio export`: extractor and head to one model file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgeaudio.cli.common import (
    DEFAULT_EXTRACTOR,
    ForceOption,
    JobsOption,
    not_nan,
    progress_bar,
    report_skipped,
    require_extra,
    seconds_option,
    status_line,
)
from edgeaudio.cli.parity import parity_lines
from edgeaudio.contract import DEFAULT_HORIZON
from edgeaudio.errors import EdgeAudioError, NothingToQuantiseError

if TYPE_CHECKING:
    from edgeaudio.quantisation import Quantisation
    from edgeaudio_export.calibration import Calibration
    from edgeaudio_export.datasets import Dataset
    from edgeaudio_export.extractors import Extractor
    from edgeaudio_export.heads import HeadFile
    from edgeaudio_export.lightening import Light

_INT8_PAYS = ("x86-64", "x86-64-avx2", "arm64-dot")
"""Targets on which int8 is most likely the faster one, where that can't be measured here."""


@dataclass(frozen=True)
class _Parts:
    """What a model file is made of."""

    extractor: Extractor
    head: HeadFile | None
    horizon: float
    calibration: Calibration | None

    def assemble(self, light: Light | None) -> bytes:
        """A model file in int8, or in float32 without `light`."""
        from edgeaudio_export.assemble import assemble

        return assemble(
            light.extractor if light else self.extractor,
            self.head,
            horizon=self.horizon,
            calibration=self.calibration,
            quantisation=light.quantisation if light else None,
        )


def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="Model file to write (.onnx).")],
    extractor: Annotated[
        str | None,
        typer.Option(help="Extractor id (default: the head's, or logmel-stats without one)."),
    ] = None,
    head: Annotated[
        Path | None, typer.Option(help="Head file (.head); without it, the extractor alone.")
    ] = None,
    quantize: Annotated[
        Literal["none", "int8", "auto"],
        typer.Option(
            help="The network in float32, in int8 (needs --calibrate), or the faster one of both "
            "that is accurate enough, by measurement."
        ),
    ] = "none",
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Recordings that give level statistics and golden vectors, and calibrate int8. "
            "One window a class, 8 and 192,000 samples at most, is STORED in the model file.",
        ),
    ] = None,
    target: Annotated[
        Literal["x86-64", "x86-64-avx2", "arm64-dot", "arm64"] | None,
        typer.Option(
            help="Processor that int8 is for (default: this machine's). x86-64 has VNNI, "
            "arm64-dot has dot products (Raspberry Pi 5, Jetson Orin), arm64 has not (Pi 4)."
        ),
    ] = None,
    max_accuracy_drop: Annotated[
        float,
        typer.Option(
            metavar="POINTS",
            help="Points of accuracy that int8 may lose.",
            min=0,
            max=100,
            callback=not_nan,
        ),
    ] = 0.5,
    horizon: Annotated[
        float, seconds_option("Seconds that one live decision covers.", 0.01, 86_400)
    ] = DEFAULT_HORIZON,
    jobs: JobsOption = 0,
    force: ForceOption = False,
) -> None:
    """Join extractor and head into ONE model file, with its contract and golden vectors.

    In int8 the network is held against itself in float32 on the recordings of --calibrate; what
    comes of it is printed, and kept in the file. With --quantize auto for another kind of
    processor than this machine's, both are written, and `edgeaudio bench` on the device tells
    which one to run.
    """
    require_extra("export")
    from edgeaudio.files import check_output
    from edgeaudio_export.assemble import check_match
    from edgeaudio_export.extractors import get_extractor
    from edgeaudio_export.heads import read_head
    from edgeaudio_export.quantised import this_target

    if quantize != "none" and calibrate is None:
        raise EdgeAudioError(f"--quantize {quantize} needs recordings: --calibrate DATA.")
    if quantize == "none" and target is not None:
        raise EdgeAudioError("--target is for int8; add --quantize int8 or auto.")
    wanted = target or this_target()
    both = quantize == "auto" and wanted != this_target()
    for path in (output, *(_beside(output) if both else ())):
        inputs = tuple(path for path in (head, calibrate) if path)
        check_output(path, overwrite=force, inputs=inputs)
    head_file = read_head(head) if head else None
    found = get_extractor(
        extractor or (head_file.info.extractor_id if head_file else DEFAULT_EXTRACTOR)
    )
    check_match(found, head_file, horizon)
    dataset, calibration = _calibration(calibrate, found) if calibrate else (None, None)
    if dataset is not None and head_file:
        _report_labels(dataset.labels, head_file.info.labels)
    parts = _Parts(found, head_file, horizon, calibration)
    light = None
    if dataset is not None and quantize != "none":
        light = _lighten(parts, dataset, wanted, max_accuracy_drop, jobs, auto=quantize == "auto")
    if both and light is not None:
        _write_both(output, parts, light, wanted, force=force)
    else:
        chosen = light if light is None or quantize == "int8" or _is_better(light) else None
        _write(output, parts, chosen, force=force)


def _report_labels(recorded: Sequence[str], known: Sequence[str]) -> None:
    """Say where recordings are not of the head's classes."""
    other = [label for label in recorded if label not in known]
    missing = [label for label in known if label not in recorded]
    if other:
        typer.echo(f"note: the head has no class of these recordings: {', '.join(other)}", err=True)
    if missing:
        typer.echo(
            f"note: there are no recordings to calibrate by of {', '.join(missing)}", err=True
        )


def _calibration(data: Path, extractor: Extractor) -> tuple[Dataset, Calibration]:
    from edgeaudio_export.calibration import calibrate
    from edgeaudio_export.datasets import load_dataset

    dataset = load_dataset(data)
    with progress_bar("calibrating") as progress:
        calibration = calibrate(dataset, extractor, progress)
    report_skipped(calibration.skipped, dataset.notes)
    return dataset, calibration


def _lighten(
    parts: _Parts, dataset: Dataset, target: str, max_drop: float, jobs: int, *, auto: bool
) -> Light | None:
    """The network in int8; None if it is not wanted after all, which is said."""

    from edgeaudio_export.lightening import hold_against, refuse
    from edgeaudio_export.quantised import quantised_extractor

    try:
        with status_line("int8") as say:
            made = quantised_extractor(parts.extractor, dataset, target, say)
    except NothingToQuantiseError as error:
        if not auto:
            raise
        typer.echo(f"float32 is exported. {error}")
        return None
    with progress_bar("int8 against float32") as progress:
        light = hold_against(
            parts.extractor, made, dataset, parts.head, max_drop, jobs=jobs, progress=progress
        )
    for line in parity_lines(light.quantisation, max_drop):
        typer.echo(line)
    if auto and light.objection:
        typer.echo(f"float32 is exported: of int8, {light.objection}.")
        return None
    refuse(light)
    return light


def _is_better(light: Light) -> bool:
    """Of `auto`, on a machine like the one that the file is for."""
    if not light.faster:
        typer.echo("float32 is exported: int8 is not faster on this machine.")
    return light.faster


def _write(output: Path, parts: _Parts, light: Light | None, *, force: bool) -> None:
    from edgeaudio.contract import KEY, contract_from_json
    from edgeaudio.files import write_atomic
    from edgeaudio.wire import metadata
    from edgeaudio_export.calibration import RECORDED

    data = parts.assemble(light)
    write_atomic(output, data, overwrite=force)
    contents = _contents(parts, light.quantisation if light else None)
    typer.echo(f"{output}: {len(data) / 1e6:.1f} MB, {contents}.")
    golden = contract_from_json(metadata(data)[KEY]).golden
    names = [v.name.removeprefix(RECORDED) for v in golden if v.name.startswith(RECORDED)]
    if names:
        typer.echo(f"It holds one recorded window each of: {', '.join(names)} (for its self-test).")


def _write_both(output: Path, parts: _Parts, light: Light, target: str, *, force: bool) -> None:
    in_float32, in_int8 = _beside(output)
    if target in _INT8_PAYS:
        _write(output, parts, light, force=force)
        other = in_float32
        _write(other, parts, None, force=force)
    else:
        _write(output, parts, None, force=force)
        other = in_int8
        _write(other, parts, light, force=force)
    typer.echo(
        f"This machine is no {target}. Which one is faster there, this tells, on the device: "
        f"edgeaudio bench --model {output.name} --model {other.name}"
    )


def _beside(output: Path) -> tuple[Path, Path]:
    """Names for the network in float32 and in int8, beside the file that was asked for."""
    return output.with_suffix(".float32.onnx"), output.with_suffix(".int8.onnx")


def _contents(parts: _Parts, quantisation: Quantisation | None) -> str:
    arithmetic = f"int8 for {quantisation.target}" if quantisation else "float32"
    return f"{parts.extractor.id} {'with' if parts.head else 'without'} a head, {arithmetic}"
