"""What kind of model a file or folder holds, and a private copy of it with its digest.

The copy is what is scanned, converted and digested, whatever happens to the original meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edgeaudio_export.foreign.request import Refused, SourceKind

MAX_BYTES = 2**31 - 1  # what one protobuf message, hence our own file, can hold
MAX_FILES = 10_000  # of a SavedModel

_HDF5 = b"\x89HDF\r\n\x1a\n"
_TFLITE = b"TFL3"  # behind the first four bytes
_READ_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Snapshot:
    """path: of the copy. digest: SHA-256 of a file, or of a folder's names and files."""

    kind: SourceKind
    path: Path
    digest: str


def snapshot(path: Path, folder: Path) -> Snapshot:
    """Copy a model into `folder`. Raises Refused, and OSError where it can't be read."""
    if path.name == "saved_model.pb":
        path = path.parent
    if path.is_dir():
        return _copy_saved_model(path, folder / "savedmodel")
    copy = folder / "source"
    digest, size = _copy_file(path, copy, MAX_BYTES)
    if not size:
        raise Refused("it is empty")
    kind = _kind(copy, path.suffix.lower())
    named = copy.rename(copy.with_suffix(_SUFFIXES[kind] or _keras_suffix(copy)))
    return Snapshot(kind, named, digest)


_SUFFIXES: dict[SourceKind, str] = {
    "keras": "",
    "savedmodel": "",
    "tflite": ".tflite",
    "onnx": ".onnx",
}


def _keras_suffix(path: Path) -> str:
    return ".keras" if zipfile.is_zipfile(path) else ".h5"


def _kind(path: Path, suffix: str) -> SourceKind:
    """By content; the name decides about ONNX alone, which has no mark of its own."""
    with path.open("rb") as file:
        first = file.read(8)
    if first == _HDF5:
        return "keras"
    if first[4:8] == _TFLITE:
        return "tflite"
    if first[:4] == b"PK\x03\x04":
        if suffix == ".keras" or _has_config(path):
            return "keras"
        raise Refused(
            "it is a zip archive, but no Keras model; unpack it first, or export a PyTorch model "
            "with torch.onnx.export"
        )
    if first[:1] == b"\x80" and suffix != ".onnx":
        raise Refused(
            "it is a pickle, which could run any code and is never opened; export it to ONNX "
            "where it was made"
        )
    if suffix == ".onnx":
        return "onnx"
    raise Refused(
        "it is no Keras model (.h5, .keras), SavedModel folder, .tflite or .onnx file, or it is "
        "damaged"
    )


def _has_config(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "config.json" in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def _copy_saved_model(path: Path, folder: Path) -> Snapshot:
    if not (path / "saved_model.pb").is_file():
        raise Refused("it is a folder without saved_model.pb, so no SavedModel")
    names = ["saved_model.pb"]
    names += sorted(f"variables/{p.name}" for p in (path / "variables").glob("variables.*"))
    if len(names) > MAX_FILES:
        raise Refused(f"it consists of {len(names)} files; at most {MAX_FILES} are taken")
    left, whole = MAX_BYTES, hashlib.sha256()
    (folder / "variables").mkdir(parents=True)
    for name in names:
        digest, size = _copy_file(path / name, folder / name, left)
        whole.update(f"{digest}  {name}\n".encode())
        left -= size
    return Snapshot("savedmodel", folder, whole.hexdigest())


def _copy_file(path: Path, copy: Path, most: int) -> tuple[str, int]:
    """Digest and size of what was copied."""
    digest, size = hashlib.sha256(), 0
    # Not blocking: a pipe without a writer would be waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as source, copy.open("wb") as target:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Refused("it is neither a regular file nor a SavedModel folder")
        while part := source.read(_READ_AT_ONCE):
            size += len(part)
            if size > most:
                raise Refused(f"it is larger than {MAX_BYTES / 2**30:.0f} GiB, which is not taken")
            digest.update(part)
            target.write(part)
    return digest.hexdigest(), size
