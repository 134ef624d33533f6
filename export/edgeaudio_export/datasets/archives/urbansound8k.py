"""UrbanSound8K (Salamon et al. 2014): a table, and a folder a fold."""

from __future__ import annotations

from pathlib import Path

from edgeaudio.errors import DataError
from edgeaudio_export.datasets.archives.layout import collect, find, table
from edgeaudio_export.datasets.recordings import Dataset, Recording

_COLUMNS = ("slice_file_name", "fsID", "fold", "class")


def read(root: Path) -> Dataset:
    """Its ten folds; slices of one recording on Freesound are a group. Raises DataError."""
    listing = find(root, "metadata/UrbanSound8K.csv", "UrbanSound8K.csv")
    if listing is None:
        raise DataError(
            f"{root} has no metadata/UrbanSound8K.csv; give the folder that the archive holds."
        )
    folds = find(root, "audio/fold1", "fold1") or root / "audio" / "fold1"
    return collect(
        root,
        [
            Recording(
                folds.parent / f"fold{row['fold']}" / row["slice_file_name"],
                row["class"],
                row["fsID"],
                row["fold"],
            )
            for row in table(listing, _COLUMNS)
        ],
    )
