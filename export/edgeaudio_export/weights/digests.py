"""Digests by which an official file is recognised: git's blob id, SHA-256, or the start of one."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeaudio.errors import WeightsFileError

Kind = Literal["git-blob", "sha256", "sha256-prefix"]

_PATTERNS: dict[Kind, str] = {
    "git-blob": "[0-9a-f]{40}",
    "sha256": "[0-9a-f]{64}",
    "sha256-prefix": "[0-9a-f]{8,63}",
}
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Digest:
    """What is known of an official file. value: lower-case hexadecimal digits."""

    kind: Kind
    value: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """From `KIND:VALUE`. Raises ValueError."""
        kind, _, value = text.partition(":")
        for known, pattern in _PATTERNS.items():
            if kind == known and re.fullmatch(pattern, value):
                return cls(known, value)
        raise ValueError(f"{text!r} is no digest of a kind out of {', '.join(_PATTERNS)}")

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


@dataclass(frozen=True, slots=True)
class FileDigests:
    """What a file's content comes to. size in bytes."""

    size: int
    sha256: str
    git_blob: str

    def match(self, digest: Digest) -> bool:
        """Whether the content has `digest`."""
        if digest.kind == "git-blob":
            return self.git_blob == digest.value
        return self.sha256.startswith(digest.value)


def of_file(path: Path) -> FileDigests:
    """All digests in one pass. Raises WeightsFileError if the file changes meanwhile; OSError."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        sha256 = hashlib.sha256()
        # Git's own choice; it recognises a file here, and is no protection from a forger.
        git_blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        read = 0
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            git_blob.update(chunk)
            read += len(chunk)
    if read != size:
        raise WeightsFileError(f"{path} changes while it is read; try again when it is complete.")
    return FileDigests(size, sha256.hexdigest(), git_blob.hexdigest())
