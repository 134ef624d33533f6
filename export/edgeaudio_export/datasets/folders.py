"""Class folders: each sub-folder is a class, each audio file below it a recording."""

from __future__ import annotations

import os
from pathlib import Path

from edgeaudio.audio.file import SUFFIXES
from edgeaudio.errors import DataError
from edgeaudio_export.datasets.recordings import Dataset, Recording, Skipped


def read_folders(root: Path) -> Dataset:
    """Read a folder with one sub-folder a class; hidden files are passed over.

    Raises DataError if there is no sub-folder.
    """
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise DataError(f"{root} has no sub-folders; expected one a class, with recordings in it.")
    recordings: list[Recording] = []
    skipped: list[Skipped] = []
    for folder in folders:
        files = files_below(folder)
        if not files:
            skipped.append(Skipped(folder, folder.name, "the folder is empty"))
        for path in files:
            if not has_plain_name(path):
                shown = Path(os.fsencode(path).decode("utf-8", "replace"))
                skipped.append(Skipped(shown, folder.name, "its name is no UTF-8; rename it"))
            elif path.suffix.lower() in SUFFIXES:
                recordings.append(Recording(path, folder.name))
            else:
                reason = f"not a recording by its name (expected {', '.join(SUFFIXES)})"
                skipped.append(Skipped(path, folder.name, reason))
    beside = [p for p in root.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()]
    notes = [f"not used: {beside[0].name}, which lies beside the class folders"] if beside else []
    if len(beside) > 1:
        notes = [f"not used: {len(beside)} recordings that lie beside the class folders"]
    return Dataset(root, tuple(recordings), tuple(skipped), tuple(notes))


def files_below(folder: Path) -> list[Path]:
    """All files below that are not hidden, in order.

    Raises OSError where a folder can't be entered.
    """

    def refuse(error: OSError) -> None:
        raise error

    found = []
    for parent, _, names in os.walk(folder, onerror=refuse):
        found += [Path(parent, name) for name in names]
    return sorted(p for p in found if p.is_file() and not _hidden(p.relative_to(folder)))


def has_plain_name(path: Path) -> bool:
    """Whether it can be written into a report: old systems left names in other encodings."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
