"""SeFiRe, segments of field recordings (Marolt et al. 2019): a list of labels a folder."""

from __future__ import annotations

from pathlib import Path

from edgeaudio.audio.file import SUFFIXES
from edgeaudio_export.datasets.archives.layout import collect, find, table, top_folder
from edgeaudio_export.datasets.folders import read_folders
from edgeaudio_export.datasets.recordings import Dataset, Recording

LABELS = {"s": "speech", "1": "solo", "2": "choir", "i": "instrumental", "x": "noise"}
BLOCK = 50
"""Neighbouring clips were cut from one recording, and the archive does not say from which: so
many of them are taken as a group."""


def read(root: Path) -> Dataset:
    """The clips with labels, and the external ones that are there; or class folders."""
    listing = find(root, "samples/sample labels.txt", "sample labels.txt")
    if listing is None:
        return read_folders(top_folder(root))
    found = []
    for k, row in enumerate(table(listing, ("Filename", "Label"), "\t")):
        label = LABELS.get(row["Label"].lower(), row["Label"])
        found.append(Recording(listing.parent / row["Filename"], label, f"block {k // BLOCK}"))
    external = _external(root)
    note = f"sources are not known: {BLOCK} neighbouring clips are taken as a group"
    lost = "" if external else "the external clips are not there; the archive has links to them"
    return collect(root, [*found, *external], *filter(None, (note, lost)))


def _external(root: Path) -> list[Recording]:
    """Clips that were fetched by the links, named by their line in the list."""
    listing = find(root, "external samples/external sources.txt")
    if listing is None:
        return []
    found = []
    for number, row in enumerate(table(listing, ("Recording ID", "Label"), "\t"), 1):
        paths = (listing.parent / f"{number:05}{suffix}" for suffix in SUFFIXES)
        path = next((p for p in paths if p.is_file()), None)
        if path is not None:
            label = LABELS.get(row["Label"].lower(), row["Label"])
            found.append(Recording(path, label, f"recording {row['Recording ID']}"))
    return found
