"""Which official weights there are: `registry.toml`, as dataclasses."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from edgeaudio.errors import EdgeAudioError
from edgeaudio_export.weights.digests import Digest, FileDigests


@dataclass(frozen=True, slots=True)
class OfficialFile:
    """One published file. size in bytes, None where unknown; urls in the order to try them."""

    name: str
    digest: Digest
    urls: tuple[str, ...] = ()
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Official:
    """One set of official weights, in any of the files it was published in."""

    id: str
    importer: str
    licence: str
    citation: str
    note: str
    files: tuple[OfficialFile, ...]

    @property
    def source(self) -> OfficialFile | None:
        """The file to fetch: the first that has an address."""
        return next((file for file in self.files if file.urls), None)

    def recognise(self, digests: FileDigests) -> OfficialFile | None:
        """The published file with this content, if it is one."""
        return next((file for file in self.files if digests.match(file.digest)), None)


@cache
def officials() -> Mapping[str, Official]:
    """All that are registered, by id."""
    text = files(__package__).joinpath("registry.toml").read_text(encoding="utf-8")
    found = [_official(entry) for entry in tomllib.loads(text)["weights"]]
    return MappingProxyType({official.id: official for official in found})


def get(id: str) -> Official:
    """The official weights called `id`. Raises EdgeAudioError that lists what there is."""
    if id not in officials():
        raise EdgeAudioError(
            f"There are no official weights {id!r}; there are: {', '.join(officials())}."
        )
    return officials()[id]


def recognise(digests: FileDigests) -> Official | None:
    """The official weights that a file with this content holds, if any."""
    return next((o for o in officials().values() if o.recognise(digests)), None)


def _official(entry: dict[str, Any]) -> Official:
    published = tuple(
        OfficialFile(
            name=file["name"],
            digest=Digest.parse(file["digest"]),
            urls=tuple(file.get("urls", ())),
            size=file.get("size"),
        )
        for file in entry["files"]
    )
    return Official(**{**entry, "files": published})
