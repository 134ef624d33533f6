"""The digest inside a model or head file, which makes any changed byte visible.

The metadata of the ONNX file holds one entry `edgeaudio.sha256`: the SHA-256 of the whole
file, taken with the 64 digits of the entry itself set to zero. It detects damage and
editing by other tools; it is no signature and says nothing about who wrote the file.
"""

from __future__ import annotations

import hashlib
import mmap
from pathlib import Path

from edgeaudio.errors import ModelFileError

KEY = "edgeaudio.sha256"
BLANK = "0" * 64
MAX_BYTES = 2**31 - 1  # what one protobuf message can hold

# The entry as protobuf stores it: key (field 1, length 16), value (field 2, length 64).
_ENTRY = b"\x0a" + bytes([len(KEY)]) + KEY.encode() + b"\x12\x40"


def seal(data: bytes) -> bytes:
    """Serialised ONNX that holds the entry `KEY: BLANK`, with its digest filled in."""
    at = data.index(_ENTRY) + len(_ENTRY)
    digest = hashlib.sha256(data).hexdigest().encode()
    return data[:at] + digest + data[at + len(BLANK) :]


def check_seal(path: Path) -> None:
    """Raise ModelFileError unless `path` is a file of edgeaudio, to the last byte as written."""
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise ModelFileError(f"{path} is a folder, not a model file.")
        if not 0 < size <= MAX_BYTES:
            raise ModelFileError(f"{path} holds {size} bytes, which no model file does.")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _check(data, path)
    except OSError as error:
        raise ModelFileError(f"{path} can't be read: {error.strerror}.") from None


def _check(data: mmap.mmap, path: Path) -> None:
    found = data.find(_ENTRY)
    if found < 0 or found + len(_ENTRY) + len(BLANK) > len(data):
        raise ModelFileError(
            f"{path} is not a file that edgeaudio wrote, or it was cut short; "
            "copy it again, or make it with `edgeaudio export`."
        )
    at = found + len(_ENTRY)
    after = at + len(BLANK)
    digest = hashlib.sha256(memoryview(data)[:at])
    digest.update(BLANK.encode())
    digest.update(memoryview(data)[after:])
    if digest.hexdigest().encode() != data[at:after]:
        raise ModelFileError(
            f"{path} was damaged or changed after edgeaudio wrote it (its digest does not match); "
            "copy it again, or export it anew."
        )
