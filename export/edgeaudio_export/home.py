"""The folder that weights, imported extractors and caches are kept in."""

from __future__ import annotations

import os
from pathlib import Path

from edgeaudio.errors import EdgeAudioError


def home() -> Path:
    """$EDGEAUDIO_HOME, else $XDG_DATA_HOME/edgeaudio (~/.local/share/edgeaudio); need not exist.

    Raises EdgeAudioError where there is no home folder either.
    """
    if named := os.environ.get("EDGEAUDIO_HOME"):
        if Path(named).is_file():
            raise EdgeAudioError(f"EDGEAUDIO_HOME is {named}, which is a file; name a folder.")
        return Path(named).absolute()
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not data.is_absolute():  # as the standard has it, also for an empty one
        try:
            data = Path.home() / ".local" / "share"
        except RuntimeError:
            raise EdgeAudioError(
                "There is no home folder to keep weights in; set EDGEAUDIO_HOME to a folder."
            ) from None
    return data / "edgeaudio"


def cache(*parts: str) -> Path:
    """A path among what can be made again; all of it may be deleted at any time."""
    return home().joinpath("cache", *parts)
