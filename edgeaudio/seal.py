"""The digest inside a model or head file, which makes any changed byte visible.

The metadata of the ONNX file holds one entry `edgeaudio.sha256`: the SHA-256 of the whole
file, taken with the 64 digits of the entry itself set to zero. It detects damage and
editing by other tools; it is no signature and says nothing about who wrote the file.
"""

from __future__ import annotations

import hashlib
import stat
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


def read_sealed(path: Path) -> bytes:
    """The content of a file of edgeaudio, which is to the last byte as it was written.

    What is checked is what is returned, whatever happens to the file in between.
    Raises ModelFileError.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise ModelFileError(f"{path} is {kind}, not a model file.")
        if not 0 < status.st_size <= MAX_BYTES:
            raise ModelFileError(f"{path} holds {status.st_size} bytes, which no model file does.")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelFileError(f"{path} can't be read: {reason}.") from None
    _check(data, path)
    return data


def _check(data: bytes, path: Path) -> None:
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
