"""`edgeaudio devices`: which microphones there are."""

from __future__ import annotations

import dataclasses
import json

import typer

from edgeaudio.cli.common import JsonOption


def devices(as_json: JsonOption = False) -> None:
    """List microphones with their rates and channels; `*` marks the default one."""
    from edgeaudio.audio.devices import find_microphone, list_microphones

    microphones = list_microphones()
    find_microphone(None, microphones)  # says so where there is none
    if as_json:
        for microphone in microphones:
            typer.echo(json.dumps(dataclasses.asdict(microphone), ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("", "index", "name", "system", "channels", "rate", box=None)
    for m in microphones:
        mark = "*" if m.default else ""
        table.add_row(mark, str(m.index), m.name, m.system, str(m.channels), f"{m.sample_rate} Hz")
    Console(markup=False, emoji=False, highlight=False).print(table)
