"""Archives that were not unpacked: into the cache, once, and never outside it."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from edgeaudio.audio.file import SUFFIXES
from edgeaudio.errors import DataError
from edgeaudio_export.datasets.recordings import file_digest
from edgeaudio_export.home import cache

_KEPT = (*SUFFIXES, ".csv", ".tsv", ".txt")
_MAX_BYTES = 100 * 2**30
_MAX_FILES = 200_000


def unpacked(path: Path) -> Path:
    """A folder with the recordings and tables of an archive (.zip, .tar, .tar.gz, .tgz).

    Another path is given back as it is.
    Raises DataError for an archive that is damaged, or far too large.
    """
    if not path.name.lower().endswith((".zip", ".tar", ".tar.gz", ".tgz")) or not path.is_file():
        return path
    home = cache("archives")
    folder = home / file_digest(path)[:16]
    if folder.is_dir():
        return folder
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            inside = Path(scratch) / "archive"
            _extract(path, inside)
            inside.rename(folder)  # whole or not at all
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise DataError(f"{path} is damaged: {error}; fetch it again.") from None
    except OSError as error:
        raise DataError(f"{path} can't be unpacked to {home}: {error}.") from None
    return folder


def _extract(path: Path, folder: Path) -> None:
    total = 0
    folder.mkdir()
    for count, (name, size, content) in enumerate(_members(path)):
        total += size
        if total > _MAX_BYTES or count >= _MAX_FILES:
            raise DataError(f"{path} holds more than any known data set; nothing was unpacked.")
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
            raise DataError(f"{path} holds {name!r}, which would lie outside; it is not unpacked.")
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            shutil.copyfileobj(content, file)


def _members(path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Name, size and content of each recording and table; links and all else are passed over."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.is_dir() and _is_kept(info.filename):
                    with archive.open(info) as content:
                        yield info.filename, info.file_size, content
        return
    with tarfile.open(path) as tar:
        for member in tar:
            if member.isfile() and _is_kept(member.name):
                found = tar.extractfile(member)
                if found is not None:
                    yield member.name, member.size, found


def _is_kept(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) and part != ".." for part in path.parts)
    return path.suffix.lower() in _KEPT and not hidden
