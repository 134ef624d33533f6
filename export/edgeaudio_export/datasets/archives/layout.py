"""What the readers of archives share: finding things, and tables."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

from edgeaudio.audio.file import SUFFIXES
from edgeaudio.errors import DataError
from edgeaudio_export.datasets.folders import files_below, has_plain_name
from edgeaudio_export.datasets.recordings import Dataset, Recording, Skipped


def find(root: Path, *relative: str) -> Path | None:
    """The first of some paths that lies below `root`, or below a folder in it (the archive's)."""
    bases = [root, *sorted(p for p in root.iterdir() if p.is_dir())]
    return next((b / name for b in bases for name in relative if (b / name).exists()), None)


def top_folder(root: Path) -> Path:
    """The folder that an archive puts all into, where it does."""
    while True:
        found = [p for p in root.iterdir() if not p.name.startswith((".", "__MACOSX"))]
        if len(found) != 1 or not found[0].is_dir():
            return root
        root = found[0]


def table(path: Path, columns: Iterable[str], delimiter: str = ",") -> list[dict[str, str]]:
    """Rows of a table in UTF-8 that has these columns. Raises DataError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter=delimiter))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} can't be read as a table: {error}.") from None
    lost = [c for c in columns if not rows or rows[0].get(c) is None]
    if lost:
        raise DataError(f"{path} has no rows with the column {lost[0]!r}; is it the set's own?")
    return [{k: (v or "").strip() for k, v in row.items() if isinstance(k, str)} for row in rows]


def audio_below(root: Path) -> list[Path]:
    """Recordings below, by their names; what is hidden is passed over."""
    return [p for p in files_below(root) if p.suffix.lower() in SUFFIXES and has_plain_name(p)]


def collect(root: Path, found: Iterable[Recording], *notes: str) -> Dataset:
    """A data set of the recordings that exist; the others are skipped."""
    recordings, skipped = [], []
    seen: set[Path] = set()
    for recording in found:
        if recording.path in seen:
            notes = (*notes, f"{recording.path.name} is listed twice")
            continue
        seen.add(recording.path)
        if recording.path.is_file():
            recordings.append(recording)
        else:
            path, label, split = recording.path, recording.label, recording.split
            skipped.append(Skipped(path, label, "there is no such file", split))
    has_splits = any(r.split for r in recordings)
    return Dataset(root, tuple(recordings), tuple(skipped), notes, has_splits)


def first_matching(parts: Iterable[str], test: Callable[[str], str | None]) -> str | None:
    """What `test` says of the first part that it says anything of."""
    return next((found for part in parts if (found := test(part)) is not None), None)
