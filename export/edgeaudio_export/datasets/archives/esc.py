"""ESC-50 and ESC-10 (Piczak 2015): the archive with a table, and the older ones by names.

A clip is named FOLD-ORIGIN-TAKE, with the class's number behind it in ESC-50's archive; ORIGIN is
the number of the recording on Freesound that it was cut from.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgeaudio.errors import DataError
from edgeaudio_export.datasets.archives.layout import collect, find, table
from edgeaudio_export.datasets.folders import read_folders
from edgeaudio_export.datasets.recordings import Dataset, Recording

_NAME = re.compile(r"(?P<fold>[1-5])-(?P<origin>\d+)-[A-Z](-\d+)?\.\w+")
_FOLDER = re.compile(r"\d{3} - (?P<label>.+)")
_COLUMNS = ("filename", "fold", "category", "esc10", "src_file")


def read_esc50(root: Path) -> Dataset:
    """All of ESC-50. Raises DataError for a name that is none of its own."""
    return _read(root, lambda row: True)


def read_esc10(root: Path) -> Dataset:
    """The ten classes that are marked in ESC-50's table, or the clips of ESC-10's own archive."""
    return _read(root, lambda row: row["esc10"].lower() == "true")


def _read(root: Path, wanted: Callable[[dict[str, str]], bool]) -> Dataset:
    listing = find(root, "meta/esc50.csv", "esc50.csv")
    if listing is None:
        return with_names(_class_folders(root))
    base = listing.parent.parent if listing.parent.name == "meta" else listing.parent
    return collect(
        root,
        [
            Recording(base / "audio" / r["filename"], r["category"], r["src_file"], r["fold"])
            for r in table(listing, _COLUMNS)
            if wanted(r)
        ],
    )


def _class_folders(root: Path) -> Dataset:
    """`001 - Dog bark` is the class `Dog bark`; other folders are called as they are."""
    below = [p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")]
    inside = [p for p in below if any(_FOLDER.fullmatch(q.name) for q in p.iterdir())]
    dataset = read_folders(inside[0] if len(inside) == 1 else root)
    if not any(_FOLDER.fullmatch(r.label) for r in dataset.recordings):
        return dataset
    found = [
        replace(r, label=name["label"])
        for r in dataset.recordings
        if (name := _FOLDER.fullmatch(r.label)) is not None
    ]
    return replace(dataset, recordings=tuple(found), skipped=())


def with_names(dataset: Dataset) -> Dataset:
    """Folds and origins from the names of the clips. Raises DataError for another name."""
    found = []
    for recording in dataset.recordings:
        name = _NAME.fullmatch(recording.path.name)
        if name is None:
            raise DataError(f"{recording.path} is not named as ESC's clips are (1-17367-A.ogg).")
        found.append(replace(recording, fold=name["fold"], group=name["origin"]))
    return replace(dataset, recordings=tuple(found))
