"""Archives that were not unpacked: into the cache, once, and never outside it."""

from __future__ import annotations

import gzip
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from edgeaudio.audio.file import SUFFIXES
from edgeaudio.errors import DataError
from edgeaudio_export.datasets.recordings import kept_digest
from edgeaudio_export.home import cache

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_KEPT = (*SUFFIXES, ".csv", ".tsv", ".txt")
_MAX_BYTES = 100 * 2**30
_MAX_FILES = 200_000
_AT_ONCE = 1 << 20
# An encrypted or oddly packed member of a .zip is a RuntimeError or NotImplementedError.
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,
    UnicodeDecodeError,
)


def unpacked(path: Path) -> Path:
    """A folder with the recordings and tables of an archive (.zip, .tar, .tar.gz, .tgz).

    Another path is given back as it is. Raises DataError for an archive that is damaged, larger
    than the disk allows, or would write elsewhere.
    """
    if not path.name.lower().endswith(_ARCHIVES) or not path.is_file():
        return path
    home = cache("archives")
    folder = home / kept_digest(path)[:16]
    if folder.is_dir():
        return folder
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            inside = Path(scratch) / "archive"
            _extract(path, inside)
            try:
                inside.rename(folder)  # whole or not at all
            except OSError:
                if not folder.is_dir():  # another process was as fast
                    raise
    except _DAMAGED as error:
        raise DataError(f"{path} is damaged, or can't be read here: {error}.") from None
    except OSError as error:
        raise DataError(f"{path} can't be unpacked to {home}: {error}.") from None
    return folder


def _extract(path: Path, folder: Path) -> None:
    folder.mkdir()
    left = min(_MAX_BYTES, shutil.disk_usage(folder).free)
    for count, (name, content) in enumerate(_members(path)):
        clean = PurePosixPath(name)
        if clean.is_absolute() or ".." in clean.parts or not clean.parts:
            raise DataError(f"{path} holds {name!r}, which would lie outside; it is not unpacked.")
        target = folder.joinpath(*clean.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            while piece := content.read(_AT_ONCE):
                left -= len(piece)
                if left < 0 or count >= _MAX_FILES:
                    raise DataError(
                        f"{path} holds more than fits on this disk, or than any known data set; "
                        "nothing was unpacked."
                    )
                file.write(piece)


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each recording and table; links and all else are passed over."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename.replace("\\", "/")
                if not info.is_dir() and _is_kept(name):
                    with archive.open(info) as content:
                        yield name, content
        return
    packed = path.name.lower().endswith(("gz", "tgz"))
    with gzip.open(path) if packed else path.open("rb") as stream:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                name = member.name.replace("\\", "/")
                if member.isfile() and _is_kept(name):
                    found = tar.extractfile(member)
                    if found is not None:
                        yield name, found
        while stream.read(_AT_ONCE):  # to its end, where the checksum is
            pass


def _is_kept(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) and part != ".." for part in path.parts)
    return path.suffix.lower() in _KEPT and not hidden
