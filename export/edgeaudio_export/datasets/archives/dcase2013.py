"""DCASE 2013, scene classification: a flat folder a part, whose files have the same names."""

from __future__ import annotations

import re
from pathlib import Path

from edgeaudio_export.datasets.archives.layout import audio_below, collect
from edgeaudio_export.datasets.recordings import Dataset, Recording

_NAME = re.compile(r"(?P<label>[a-z]+)\d\d")


def read(root: Path) -> Dataset:
    """The development set for training; what lies in a folder with `test` in its name to test."""
    found = []
    for path in audio_below(root):
        name = _NAME.fullmatch(path.stem)
        if name is not None:
            folders = path.relative_to(root).parts[:-1]
            split = "test" if any("test" in part.lower() for part in folders) else "train"
            found.append(Recording(path, name["label"], split=split))
    return collect(root, found)
