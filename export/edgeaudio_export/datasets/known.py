"""Published data sets: which there are, and whether a folder holds all of one."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgeaudio.errors import DataError, EdgeAudioError
from edgeaudio_export.datasets.archives import acmus, dcase2013, esc, sefire, urbansound8k
from edgeaudio_export.datasets.archives.layout import top_folder
from edgeaudio_export.datasets.archives.parts import read_train_and_test
from edgeaudio_export.datasets.folders import read_folders
from edgeaudio_export.datasets.manifest import read_manifest
from edgeaudio_export.datasets.recordings import Dataset
from edgeaudio_export.datasets.unpack import unpacked


@dataclass(frozen=True)
class KnownSet:
    """A published data set. files: how many the whole of it has.

    classes: empty where they may be called anything; count: then, how many there are. names:
    other ids. dropped: labels in the archive that are no part of the task. split: what is
    official. layout: what the archive holds, for a person.
    """

    id: str
    title: str
    files: int
    classes: tuple[str, ...]
    split: str
    layout: str
    citation: str
    licence: str
    page: str
    count: int = 0
    names: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def _read() -> dict[str, KnownSet]:
    text = files(__package__).joinpath("known.toml").read_text(encoding="utf-8")
    found = {}
    for id, entry in tomllib.loads(text).items():
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()
        }
        found[id] = KnownSet(id=id, **values)
    return found


KNOWN: Mapping[str, KnownSet] = _read()

_READERS: Mapping[str, Callable[[Path], Dataset]] = {
    "t1": acmus.read,
    "t2": lambda root: read_folders(top_folder(root)),
    "t3": sefire.read,
    "t4": lambda root: read_train_and_test(root, KNOWN["t4"].classes),
    "t5": lambda root: read_train_and_test(root, KNOWN["t5"].classes),
    "t6": lambda root: read_train_and_test(root, ()),
    "esc10": esc.read_esc10,
    "esc50": esc.read_esc50,
    "urbansound8k": urbansound8k.read,
    "dcase2013": dcase2013.read,
}


def known_set(name: str) -> KnownSet:
    """By id or another name. Raises EdgeAudioError, listing what there is."""
    for known in KNOWN.values():
        if name.lower() in (known.id, *known.names):
            return known
    raise EdgeAudioError(f"There is no data set {name!r}; there are: {', '.join(KNOWN)}.")


def read_known(known: KnownSet, path: Path) -> Dataset:
    """Read its archive, unpacked or not; or class folders or a manifest with what is in it.

    Of a manifest with a column `set`, only the rows that name this one.
    Raises DataError where `path` holds nothing of it.
    """
    given, path = path, unpacked(path)
    if path.is_file():
        dataset = read_manifest(path, only=(known.id, *known.names))
        if known.id in ("esc10", "esc50"):
            dataset = esc.with_names(dataset)
    else:
        dataset = _READERS[known.id](path)
    dataset = _with_both_parts(_without(dataset, known))
    if not dataset.recordings and not dataset.skipped:
        raise DataError(f"{given} holds nothing of {known.title}; expected: {known.layout}.")
    return dataset


def _without(dataset: Dataset, known: KnownSet) -> Dataset:
    """Without what is no part of the task."""
    dropped = [r for r in dataset.recordings if r.label in known.dropped]
    if not dropped:
        kept = tuple(s for s in dataset.skipped if s.label not in known.dropped)
        return replace(dataset, skipped=kept)
    labels = ", ".join(sorted({r.label for r in dropped}))
    return replace(
        dataset,
        recordings=tuple(r for r in dataset.recordings if r.label not in known.dropped),
        skipped=tuple(s for s in dataset.skipped if s.label not in known.dropped),
        notes=(*dataset.notes, f"{len(dropped)} of {labels} left out: no part of the task"),
    )


def _with_both_parts(dataset: Dataset) -> Dataset:
    """Without splits where only one part is there, so that folds are drawn."""
    parts = {r.split for r in dataset.recordings}
    if not dataset.has_splits or parts >= {"train", "test"}:
        return dataset
    there = ", ".join(sorted(filter(None, parts)))
    return replace(
        dataset,
        recordings=tuple(replace(r, split=None) for r in dataset.recordings),
        notes=(*dataset.notes, f"of its training and test set only {there} is there"),
        has_splits=False,
    )


def missing(known: KnownSet, dataset: Dataset) -> tuple[str, ...]:
    """What is not there of the whole set, in words."""
    found = []
    lost = [label for label in known.classes if not dataset.counts.get(label)]
    if lost:
        found.append(f"no recording of {', '.join(lost)}")
    if known.count and len(dataset.labels) != known.count:
        found.append(f"{len(dataset.labels)} classes, expected {known.count}")
    unknown = [label for label in dataset.labels if known.classes and label not in known.classes]
    if unknown:
        found.append(f"labels that it does not have: {', '.join(unknown)}")
    if known.split == "training and test set":
        for part in ("train", "test"):
            if not any(r.split == part for r in dataset.recordings):
                found.append(f"no recording of the {'training' if part == 'train' else part} set")
    elif known.split.endswith("folds"):
        folds = int(known.split.split()[0])
        there = {r.fold for r in dataset.recordings}
        absent = [str(k) for k in range(1, folds + 1) if str(k) not in there]
        if absent:
            found.append(f"no recording of fold {', '.join(absent)}")
    if len(dataset.recordings) < known.files:
        found.append(f"only {len(dataset.recordings)} of {known.files} recordings")
    return tuple(found)
