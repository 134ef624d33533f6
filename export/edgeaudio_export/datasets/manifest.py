"""CSV manifests: `path,label` and optionally `group,fold,split`, paths relative to the file."""

from __future__ import annotations

import csv
from pathlib import Path

from edgeaudio.errors import DataError
from edgeaudio_export.datasets.recordings import Dataset, Recording, Skipped

REQUIRED = ("path", "label")
OPTIONAL = ("group", "fold", "split")


def read_manifest(manifest: Path, only: tuple[str, ...] = ()) -> Dataset:
    """Read a manifest in UTF-8.

    only: where there is a column `set`, the rows that name one of these.

    Files that are missing are skipped and reported; unknown columns are ignored and noted.
    Raises DataError if it is no such CSV, or gives one file two labels.
    """
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [c.strip() for c in reader.fieldnames or []]
            reader.fieldnames = columns
            _check_columns(columns, manifest)
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{manifest} can't be read as a CSV manifest: {error}.") from None
    if only and "set" in columns:
        rows = [(line, row) for line, row in rows if _cell(row, "set").lower() in only]
        columns.remove("set")
    unknown = [c for c in columns if c not in (*REQUIRED, *OPTIONAL)]
    notes = [f"columns ignored: {', '.join(unknown)}"] if unknown else []
    recordings, skipped = _read_rows(rows, manifest, notes)
    has_splits = "split" in columns
    return Dataset(manifest, tuple(recordings), tuple(skipped), tuple(notes), has_splits)


def _check_columns(columns: list[str], manifest: Path) -> None:
    missing = [c for c in REQUIRED if c not in columns]
    if missing:
        found = ", ".join(columns)[:200] or "nothing"
        raise DataError(
            f"{manifest} needs the columns path and label in its first line; found: {found}."
        )


def _read_rows(
    rows: list[tuple[int, dict[str, str]]], manifest: Path, notes: list[str]
) -> tuple[list[Recording], list[Skipped]]:
    seen: dict[Path, str] = {}
    recordings: list[Recording] = []
    skipped: list[Skipped] = []
    for line, row in rows:
        name, label = _cell(row, "path"), _cell(row, "label")
        if not name or not label:
            raise DataError(f"{manifest}, line {line}: the {'label' if name else 'path'} is empty.")
        path = manifest.parent / name
        if path in seen:
            if seen[path] != label:
                raise DataError(
                    f"{manifest}, line {line}: {name} is labelled {label!r} here and "
                    f"{seen[path]!r} further up."
                )
            notes.append(f"line {line} repeats {name}")
            continue
        seen[path] = label
        group, fold, split = (_cell(row, c) or None for c in OPTIONAL)
        split = split.lower() if split else None
        if not _is_file(path):
            skipped.append(Skipped(path, label, "there is no such file", split))
            continue
        recordings.append(Recording(path, label, group, fold, split))
    return recordings, skipped


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, no permission, a NUL
        return False


def _cell(row: dict[str, str], column: str) -> str:
    return (row.get(column) or "").strip()
