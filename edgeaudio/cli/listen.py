"""`edgeaudio listen`: decisions about live sound."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from edgeaudio.cli.common import HopOption, JsonOption, ModelOption, seconds_option
from edgeaudio.errors import EdgeAudioError

if TYPE_CHECKING:
    from edgeaudio.audio.source import Source
    from edgeaudio.model import Model
    from edgeaudio.sinks.base import Sink


def listen(
    model: ModelOption,
    source: Annotated[
        str, typer.Option(help="mic, file:PATH, or - for a WAV stream on standard input.")
    ] = "mic",
    device: Annotated[
        str | None, typer.Option(help="Microphone: index, name, or part of it.")
    ] = None,
    hop: HopOption = None,
    horizon: Annotated[
        float | None,
        seconds_option("Seconds that one decision covers (default: the model's).", 0.01, 86_400),
    ] = None,
    seconds: Annotated[float | None, seconds_option("Stop after so much sound.", 0.1, 1e9)] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Read file:PATH no faster than it would sound.")
    ] = False,
    block: Annotated[
        int | None, typer.Option(help="Frames read from file:PATH at once.", min=1)
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads for the network.", min=1, max=256)] = 1,
    as_json: JsonOption = False,
) -> None:
    """Listen, and decide at every hop about the last few seconds (the horizon).

    On a terminal: a live view. With --json, or into a pipe: one JSON object a decision.
    Ends with a file's end, after --seconds, or with Ctrl-C (exit status 0).
    """
    from edgeaudio.memory import give_back, small_heap

    small_heap()
    if (realtime or block) and not source.startswith("file:"):
        raise EdgeAudioError("--realtime and --block are for --source file:PATH.")
    # Before the microphone is opened, since no thread runs while a large library is loaded.
    from edgeaudio.model import model_from
    from edgeaudio.seal import read_sealed

    data = read_sealed(model)
    with ExitStack() as stack:
        opened = None
        if source == "mic" or realtime:  # it fills the first window while the model is loaded
            opened = stack.enter_context(
                _open_early(lambda: model_from(data, model), source, device, block, realtime)
            )
        loaded = model_from(data, model, threads=threads)
        data = b""  # large, and needed no more
        if opened is None:
            opened = stack.enter_context(_open_source(source, device, block))
        give_back()
        _run(loaded, _limited(opened, seconds), hop, horizon, as_json=as_json)


def _open_early(
    load: Callable[[], object], source: str, device: str | None, block: int | None, realtime: bool
) -> Source:
    """The source, before the model. But what is wrong with the model comes first."""
    try:
        opened = _open_source(source, device, block)
    except EdgeAudioError:
        load()
        raise
    if not realtime:
        return opened
    from edgeaudio.audio.source import PacedSource

    return PacedSource(opened)


def _open_source(source: str, device: str | None, block: int | None) -> Source:
    if device is not None and source != "mic":
        raise EdgeAudioError(f"--device names a microphone, but the source is {source!r}.")
    if source == "mic":
        from edgeaudio.audio.microphone import MicrophoneSource
        from edgeaudio.cli.native import bound_messages

        bound_messages()
        return MicrophoneSource(device)
    from edgeaudio.audio.file import FileSource, PipeSource

    if source == "-":
        return PipeSource()
    if source.startswith("file:") and len(source) > len("file:"):
        path = source.removeprefix("file:")
        return FileSource(path, block=block) if block else FileSource(path)
    raise EdgeAudioError(f"There is no source {source!r}; expected mic, file:PATH, or -.")


def _limited(source: Source, seconds: float | None) -> Source:
    if seconds is None:
        return source
    from edgeaudio.audio.source import LimitedSource

    return LimitedSource(source, seconds)


def _run(
    model: Model, source: Source, hop: float | None, horizon: float | None, *, as_json: bool
) -> None:
    from edgeaudio.listen import decisions

    where = f"{source.name}, {source.sample_rate} Hz, {source.channels} channel(s)"
    sink = _sink(model, where, hop, horizon, as_json=as_json)
    try:
        for _ in decisions(model, source, [sink], hop=hop, horizon=horizon):
            pass
    except KeyboardInterrupt:  # how listening normally ends
        pass
    finally:
        sink.close()


def _sink(
    model: Model, where: str, hop: float | None, horizon: float | None, *, as_json: bool
) -> Sink:
    drawable = sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    if as_json or not drawable:
        from edgeaudio.sinks.jsonlines import JsonLines

        typer.echo(f"edgeaudio: listening to {where}", err=True)
        return JsonLines(sys.stdout)
    from rich.console import Console

    from edgeaudio.decide.horizon import windows_in
    from edgeaudio.pipeline import window_spec
    from edgeaudio.sinks.terminal import LiveView

    spec = window_spec(model, hop)
    windows = windows_in(model.contract.horizon if horizon is None else horizon, spec)
    return LiveView(Console(), f"listening to {where}", model.labels, windows, spec.sample_rate)
