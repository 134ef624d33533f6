"""`edgeaudio classify`: recordings to labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeaudio.cli.common import HopOption, JsonOption, ModelOption, counted, progress_bar
from edgeaudio.errors import AudioFileError, ModelFileError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeaudio.model import Model
    from edgeaudio.types import Decision


def classify(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Recordings.")],
    model: ModelOption,
    as_json: JsonOption = False,
    hop: HopOption = None,
) -> None:
    """Classify recordings, one decision a file over all of its windows.

    A file that can't be read is named with the reason, and the exit status is 1 at the end.
    """
    from edgeaudio.model import load_model

    loaded = load_model(model)
    if not loaded.labels:
        raise ModelFileError(f"{model} has no head, so it can't classify; export it with --head.")
    failed = 0
    with progress_bar("classifying") as progress:
        for number, name in enumerate(files):

            def within(share: float, number: int = number) -> None:
                progress(number + share, len(files))

            try:
                decision = _classify(name, loaded, hop, within)
            except AudioFileError as error:
                failed += 1
                _print_error(name, error, as_json=as_json)
            else:
                _print_decision(name, decision, as_json=as_json)
    if failed:
        if not as_json:
            typer.echo(f"{failed} of {counted(len(files), 'file')} could not be used", err=True)
        raise typer.Exit(1)


def _classify(
    name: str, model: Model, hop: float | None, progress: Callable[[float], None]
) -> Decision:
    from edgeaudio.audio.file import FileSource
    from edgeaudio.classify import classify_source

    with FileSource(Path(name)) as source:
        seconds = max(source.frames or 0, 1) / source.sample_rate
        return classify_source(
            source,
            model,
            hop=hop,
            on_prediction=lambda p: progress(min(1.0, p.end / model.sample_rate / seconds)),
        )


def _print_decision(name: str, decision: Decision, *, as_json: bool) -> None:
    if as_json:
        from edgeaudio.sinks.jsonlines import decision_record

        record = {"file": name, **decision_record(decision)}
        typer.echo(json.dumps(record, ensure_ascii=False))
        return
    share = dict(decision.likelihoods)[decision.label]
    remark = "" if decision.quality.valid else f"  ({', '.join(decision.quality.reasons)}!)"
    typer.echo(f"{decision.label:20s} {share:5.2f}  {name}{remark}")


def _print_error(name: str, error: AudioFileError, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"file": name, "error": str(error)}, ensure_ascii=False))
    else:
        typer.echo(f"{'-':20s} {'':5s}  {name}: {error}")
