"""ACMUS-MIR (Mora-Ángel et al. 2019), instrumental format set: how many play."""

from __future__ import annotations

import csv
import re
import unicodedata
from pathlib import Path

from edgeaudio_export.datasets.archives.layout import audio_below, collect, first_matching
from edgeaudio_export.datasets.folders import files_below
from edgeaudio_export.datasets.recordings import Dataset, Recording

_SPOKEN = {
    "solo": ("solo", "solista"),
    "duo": ("duo", "dueto", "duet"),
    "trio": ("trio",),
    "quartet": ("quartet", "cuarteto", "quartett", "quarteto"),
    "large ensemble": ("large", "grande", "ensamble", "estudiantina", "large ensemble"),
}
_BY_COUNT = ("solo", "duo", "trio", "quartet", "large ensemble")
_COUNT = re.compile(r"_ninst(\d+)", re.IGNORECASE)
_SIZE_COLUMN = re.compile(r"ensemble|instrumental.?format|formato|tama", re.IGNORECASE)
_MOST_PLAYERS = 50


def read(root: Path) -> Dataset:
    """Ensemble sizes from a table beside the recordings, else from folders, else from names."""
    inside = sorted(p for p in root.rglob("instrumental_format*") if p.is_dir())
    base = inside[0] if inside else root
    listed = _listed(base)
    found = []
    for path in audio_below(base):
        folders = path.relative_to(base).parts[:-1]
        label = listed.get(path.stem) or first_matching(folders, size_of) or _named(path.stem)
        if label is not None:
            found.append(Recording(path, label))
    return collect(root, found)


def size_of(text: str) -> str | None:
    """The class that a table or a folder means, in Spanish or English, or by a number."""
    plain = unicodedata.normalize("NFKD", text.strip().lower())
    text = "".join(letter for letter in plain if not unicodedata.combining(letter))
    if text.isdecimal() and 0 < int(text) <= _MOST_PLAYERS:
        return _BY_COUNT[min(int(text), 5) - 1]
    words = {text, *(word.removesuffix("s") for word in re.split(r"[\s_\-]+", text))}
    return next((label for label, said in _SPOKEN.items() if words & set(said)), None)


def _named(stem: str) -> str | None:
    count = _COUNT.search(stem)
    return size_of(str(int(count[1]))) if count else None


def _listed(base: Path) -> dict[str, str]:
    """Class by the file's name without suffix, from the tables that have both."""
    found: dict[str, str] = {}
    for path in files_below(base):
        if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
            continue
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        delimiter = max(",;\t", key=(lines or [""])[0].count)
        for row in csv.DictReader(lines, delimiter=delimiter):
            found |= _of_row(row)
    return found


def _of_row(row: dict[str, str]) -> dict[str, str]:
    texts = {k: v for k, v in row.items() if isinstance(k, str) and isinstance(v, str)}
    sizes = [size for k, v in texts.items() if _SIZE_COLUMN.search(k) and (size := size_of(v))]
    names = [v for k, v in texts.items() if re.search(r"file|name|archivo|^id", k, re.IGNORECASE)]
    return {Path(names[0].strip()).stem: sizes[0]} if names and sizes else {}
