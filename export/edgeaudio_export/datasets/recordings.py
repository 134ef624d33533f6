"""What a data set is, whatever it was read from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edgeaudio.errors import DataError, OutputError
from edgeaudio.files import write_atomic
from edgeaudio_export.home import cache


@dataclass(frozen=True, slots=True)
class Recording:
    """One labelled file. group: never to be torn apart by a split. fold, split: as given."""

    path: Path
    label: str
    group: str | None = None
    fold: str | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that could not be used, and why. split: as in `Recording`."""

    path: Path
    label: str
    reason: str
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled recordings, in a fixed order. notes: what the reader should be told.

    has_splits: whether the source gives splits, even if every one of them is empty.
    """

    root: Path
    recordings: tuple[Recording, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    has_splits: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, sorted, also those whose files were all skipped."""
        used, unused = {r.label for r in self.recordings}, {s.label for s in self.skipped}
        return tuple(sorted(used | unused))

    @property
    def counts(self) -> dict[str, int]:
        """Usable recordings by label."""
        found = Counter(r.label for r in self.recordings)
        return {label: found[label] for label in self.labels}

    def training(self) -> Dataset:
        """What `train` uses: all, or the rows whose split is `train` where splits are given.

        Raises DataError if splits are given and none is `train`, or a class has no such row, or
        none that can be used.
        """
        if not self.has_splits:
            return self
        splits = {r.split for r in self.recordings} | {s.split for s in self.skipped}
        if "train" not in splits:
            found = sorted(split or "nothing" for split in splits)
            raise DataError(
                f"{self.root} has a split column, but no row says 'train'; "
                f"found: {', '.join(found)}."
            )
        chosen = replace(
            self,
            recordings=tuple(r for r in self.recordings if r.split == "train"),
            skipped=tuple(s for s in self.skipped if s.split == "train"),
            has_splits=False,
        )
        absent = [label for label in self.labels if label not in chosen.labels]
        if absent:
            raise DataError(
                f"{self.root}: no row of the class {absent[0]!r} is for training, so it could "
                "never be recognised; give it rows with the split 'train', or leave it out."
            )
        check_not_empty(chosen)
        return chosen


def check_not_empty(dataset: Dataset) -> None:
    """Raise DataError if a class has no usable recording left."""
    empty = [label for label, count in dataset.counts.items() if count == 0]
    if empty:
        reasons = "; ".join(f"{s.path}: {s.reason}" for s in dataset.skipped if s.label == empty[0])
        raise DataError(
            f"{dataset.root}: no usable recording is left of the class {empty[0]!r}"
            + (f" ({_shorten(reasons)})." if reasons else ".")
        )


def dataset_digest(recordings: Iterable[Recording]) -> str:
    """SHA-256 over labels and contents, whatever the order and the names of the files."""
    lines = sorted(f"{r.label}\t{file_digest(r.path)}\n" for r in recordings)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def kept_digest(path: Path) -> str:
    """`file_digest`, remembered until the file changes: its size, time or place on the disk.

    Raises DataError if it can't be read.
    """
    try:
        at = path.stat()
    except OSError as error:
        raise DataError(f"{path} can't be read any more: {error.strerror}.") from None
    state = f"{path.absolute()} {at.st_size} {at.st_mtime_ns} {at.st_ino}"
    key = hashlib.sha256(state.encode()).hexdigest()
    kept = cache("digests", key[:2], key)
    with suppress(OSError):
        found = kept.read_text()
        if len(found) == 64:
            return found
    found = file_digest(path)
    with suppress(OSError, OutputError):  # it is only slower without
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(kept, found.encode(), overwrite=True)
    return found


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in pieces. Raises DataError if it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} can't be read any more: {error.strerror}.") from None


def _shorten(text: str) -> str:
    return text if len(text) <= 300 else text[:297] + "..."
