"""From a path to a data set, whatever lies there."""

from __future__ import annotations

from pathlib import Path

from edgeaudio.contract import check_labels
from edgeaudio.errors import DataError
from edgeaudio_export.datasets.folders import read_folders
from edgeaudio_export.datasets.known import KnownSet, read_known
from edgeaudio_export.datasets.manifest import read_manifest
from edgeaudio_export.datasets.recordings import Dataset, check_not_empty


def load_dataset(path: Path, known: KnownSet | None = None) -> Dataset:
    """Read class folders or a CSV manifest.

    known: the published data set that it is; its archive as it comes will do as well, unpacked
    or not. Raises DataError if `path` is neither, or holds fewer than two classes, or labels that
    differ in case only, or the same file under two labels.
    """
    try:
        if not path.exists():
            raise DataError(
                f"There is no {path}; give a folder of class folders, or a CSV manifest."
            )
        dataset = _read(path, known)
    except OSError as error:
        raise DataError(f"{error.filename or path} can't be read: {error.strerror}.") from None
    try:
        check_labels(dataset.labels)
    except ValueError as error:
        raise DataError(f"{path}: {error}.") from None
    check_not_empty(dataset)
    return dataset


def _read(path: Path, known: KnownSet | None) -> Dataset:
    if known is not None:
        return read_known(known, path)
    return read_folders(path) if path.is_dir() else read_manifest(path)
