"""What the importers share: bounded reading, the check against a layout, libraries' errors."""

from __future__ import annotations

import io
import stat
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from edgeaudio.errors import EdgeAudioError, MissingExtraError, WeightsFileError
from edgeaudio.types import F32

Arrays = dict[str, F32]
Shape = tuple[int, ...]
Layout = Mapping[str, Shape]

MAX_BYTES = 1_000_000_000  # of a file; VGGish, the largest, has 289 MB
_MAX_ENTRIES = 10_000  # of an archive
_LONGEST_REASON = 200  # characters of a library's message that are passed on
_VARIANCES = ("variance", "running_var")


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a library says over `path` into one WeightsFileError.

    Hostile files make libraries raise anything: MemoryError, struct.error, RecursionError.
    """
    try:
        yield
    except EdgeAudioError:
        raise
    except Exception as error:
        raise WeightsFileError(
            f"{path} can't be read as {kind}: {_reason(error)}. It is damaged, cut short or "
            "another kind of file."
        ) from None


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).split("\n")[0][:_LONGEST_REASON].rstrip(" .") or type(error).__name__


def package(name: str, extra: str) -> Any:
    """An optional package. Raises MissingExtraError that names the extra that brings it."""
    try:
        return import_module(name)
    except ImportError:
        raise MissingExtraError(
            f"Reading this file needs {name.partition('.')[0]}; "
            f'in the checkout of edgeaudio: pip install ".[{extra}]"'
        ) from None


def check_file(path: Path, limit: int = MAX_BYTES) -> None:
    """Raise WeightsFileError unless `path` is a regular file of at most `limit` bytes."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise WeightsFileError(f"{path} can't be read: {_reason(error)}.") from None
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise WeightsFileError(f"{path} is {kind}, not a file of weights.")
    if not 0 < status.st_size <= limit:
        raise WeightsFileError(
            f"{path} holds {status.st_size} bytes; expected 1 to {limit} in such a file."
        )


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The content of a regular file of at most `limit` bytes. Raises WeightsFileError, OSError."""
    check_file(path, limit)
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:  # it grew since
        raise WeightsFileError(f"{path} holds more than the {limit} bytes of such a file.")
    return data


def archive_names(data: bytes, limit: int, *, stored: bool) -> list[str]:
    """The entries of a zip archive, none of which is read.

    limit: bytes that all of them may come to. stored: none may be compressed.
    Raises ValueError and zipfile.BadZipFile.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
    if len(entries) > _MAX_ENTRIES:
        raise ValueError(f"it holds {len(entries)} entries")
    if stored and any(e.compress_type or e.file_size != e.compress_size for e in entries):
        raise ValueError("its entries are compressed, which those of such a file are not")
    total = sum(entry.file_size for entry in entries)
    if total > limit:
        raise ValueError(f"it unpacks to {total} bytes, expected at most {limit}")
    return [entry.filename for entry in entries]


def read_npz(data: bytes, limit: int, *, stored: bool = False) -> dict[str, Any]:
    """The arrays of an .npz by name, without unpickling. Raises what numpy and zipfile raise."""
    names = archive_names(data, limit, stored=stored)
    if len(set(names)) != len(names) or not all(name.endswith(".npy") for name in names):
        raise ValueError("its entries are not those of an .npz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy remarks on files that Python 2 wrote
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}


def check_shapes(shapes: Layout, layout: Layout, path: Path) -> None:
    """Raise WeightsFileError that names the first array which is not as in `layout`."""
    for name, shape in layout.items():
        if name not in shapes:
            raise WeightsFileError(f"{path} lacks {name}, which has the shape {_text(shape)}.")
        if tuple(shapes[name]) != shape:
            raise WeightsFileError(
                f"{path}: {name} has the shape {_text(shapes[name])}, expected {_text(shape)}."
            )
    for name in shapes:
        if name not in layout:
            raise WeightsFileError(f"{path} holds {name[:100]!r}, which the network does not have.")


def check_values(arrays: Arrays, path: Path) -> Arrays:
    """The same arrays, made read-only.

    Raises WeightsFileError that names the first with a value that no weight can have.
    """
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise WeightsFileError(f"{path}: {name} holds values that are not finite.")
        if name.endswith(_VARIANCES) and (array < 0).any():
            raise WeightsFileError(f"{path}: {name} holds negative variances.")
        array.flags.writeable = False
    return arrays


def float32(values: Any) -> F32:
    """A new array in C order. What does not fit into float32 becomes infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array(values, dtype=np.float32, order="C")


def _text(shape: Shape) -> str:
    return f"({','.join(map(str, shape))})"
