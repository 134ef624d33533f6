"""Archives of a training and a test part with a folder a class (IDMT_ISA_...)."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from edgeaudio_export.datasets.archives.layout import audio_below, collect, first_matching
from edgeaudio_export.datasets.recordings import Dataset, Recording


def read_train_and_test(root: Path, classes: tuple[str, ...]) -> Dataset:
    """What lies in folders whose names begin with train and test.

    classes: a recording's class is the one that a folder's name holds, below the part, whatever
    the case; without classes it is the name of the folder below the part. Where there is a part
    `train_cut`, `train` holds the same sound uncut, and is left alone; `test` likewise.
    """
    found: dict[tuple[str, bool], list[Recording]] = defaultdict(list)
    for path in audio_below(root):
        folders = path.relative_to(root).parts[:-1]
        part = first_matching(folders, _part)
        if part is None:
            continue
        below = folders[folders.index(part) + 1 :]
        label = _label(below, classes)
        if label is not None:
            split = "train" if part.lower().startswith("train") else "test"
            found[split, "cut" in part.lower()].append(Recording(path, label, split=split))
    parts = [found[split, True] or found[split, False] for split in ("train", "test")]
    return collect(root, [recording for part in parts for recording in part])


def _part(folder: str) -> str | None:
    return folder if folder.lower().startswith(("train", "test")) else None


def _label(folders: tuple[str, ...], classes: tuple[str, ...]) -> str | None:
    if not classes:
        return folders[0] if folders else None
    plain = [f.lower().replace("_", "").replace(" ", "").replace("-", "") for f in folders]
    return first_matching(plain, lambda name: next((c for c in classes if c in name), None))
