"""Recordings inside a page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import soundfile

_SECONDS = 30
_RATE_LIMIT = 192_000
_AT_ONCE = 1 << 16  # libsndfile keeps a block to encode on its stack


def as_data_url(path: Path) -> str | None:
    """The first 30 s as mono OGG Vorbis in a data URL, or None where it can't be read."""
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            samples = file.read(_SECONDS * rate, dtype="float32", always_2d=True).mean(axis=1)
        if not 0 < rate <= _RATE_LIMIT:
            return None
        memory = io.BytesIO()
        with soundfile.SoundFile(memory, "w", rate, 1, format="OGG", subtype="VORBIS") as out:
            for start in range(0, len(samples), _AT_ONCE):
                out.write(samples[start : start + _AT_ONCE])
    except (soundfile.LibsndfileError, OSError, ValueError):
        return None
    return "data:audio/ogg;base64," + base64.b64encode(memory.getvalue()).decode("ascii")
