"""Where weights live on this machine, one `.npz` an id, and how they get there from a file.

A kept file holds the arrays, and `info.json` with what is known of them. Whatever is read is
held against the digest that was noted when it was written, and against the network's layout.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from edgeaudio.errors import EdgeAudioError, MissingWeightsError, OutputError, WeightsFileError
from edgeaudio.files import write_atomic
from edgeaudio.types import F32
from edgeaudio_export.home import home
from edgeaudio_export.weights import apart, digests, registry
from edgeaudio_export.weights.importers import IMPORTERS
from edgeaudio_export.weights.importers.common import (
    MAX_BYTES,
    Layout,
    check_file,
    check_values,
    read_bytes,
    read_npz,
    reading,
)

_INFO = "info.json"
_MAX_INFO_BYTES = 100_000
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
_KIND = "weights that edgeaudio keeps"


@dataclass(frozen=True, slots=True)
class WeightsInfo:
    """Where weights come from.

    importer: what read them. source: name of the file; source_sha256: of its content.
    official: whether that is a file of the registry. date: of the import, UTC.
    """

    importer: str
    source: str
    source_sha256: str
    official: bool
    date: str
    licence: str


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """The arrays of a network, read-only. digest: SHA-256 over names, shapes and values."""

    id: str
    arrays: Mapping[str, F32]
    digest: str
    info: WeightsInfo


def weights_home() -> Path:
    """The folder of the kept weights, which need not exist. Raises EdgeAudioError."""
    return home() / "weights"


def path_of(id: str) -> Path:
    """The file that the weights called `id` are kept in. Raises EdgeAudioError for a bad id."""
    if not _ID.fullmatch(id):
        raise EdgeAudioError(
            f"{id!r} can't name weights: an id has small letters, digits and hyphens."
        )
    return weights_home() / f"{id}.npz"


def digest_of(arrays: Mapping[str, F32]) -> str:
    """SHA-256 over name, shape and little-endian values of each array, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {','.join(map(str, array.shape))}\n".encode())
        digest.update(np.ascontiguousarray(array, dtype="<f4").reshape(-1).data)
    return digest.hexdigest()


def size_of(layout: Layout) -> int:
    """Bytes that arrays of these shapes take as float32."""
    return sum(math.prod(shape) for shape in layout.values()) * np.dtype(np.float32).itemsize


def make_weights(id: str, arrays: Mapping[str, F32], info: WeightsInfo) -> Weights:
    """Weights with their digest."""
    return Weights(id, MappingProxyType(dict(arrays)), digest_of(arrays), info)


def find(id: str) -> Weights | None:
    """The kept weights called `id`, None if there are none.

    Raises WeightsFileError if they were damaged or changed, EdgeAudioError for a bad id.
    """
    path = path_of(id)
    if not os.path.lexists(path):
        return None
    with reading(path, _KIND):
        arrays = read_npz(read_bytes(path), MAX_BYTES, stored=True)
        noted, digest, info = _parse_info(arrays.pop(_INFO).tobytes())
    if not all(array.dtype == np.float32 for array in arrays.values()):
        raise WeightsFileError(f"{path} holds arrays that are not float32.")
    weights = make_weights(id, check_values(arrays, path), info)
    if (noted, digest) != (id, weights.digest):
        raise WeightsFileError(
            f"{path} was damaged or changed since it was written (its digest does not match); "
            f"delete it and bring {id} in again."
        )
    importer = registry.officials()[id].importer if id in registry.officials() else info.importer
    if importer in IMPORTERS:
        IMPORTERS[importer].check(arrays, path)
    return weights


def require(id: str) -> Weights:
    """The kept weights called `id`.

    Raises MissingWeightsError that says how to get them, and what `find` raises.
    """
    weights = find(id)
    if weights is not None:
        return weights
    official = registry.officials().get(id)
    if official is None:
        raise MissingWeightsError(
            f"There are no weights {id!r} on this machine; `edgeaudio weights list` shows what is."
        )
    pull = f"`edgeaudio weights pull {id}` fetches them (licence: {official.licence})"
    file = official.source or official.files[0]
    raise MissingWeightsError(
        f"The weights of {id} are not on this machine yet. {pull}; without internet, fetch "
        f"{file.name} elsewhere and run `edgeaudio weights import {id} {file.name}`."
    )


def save(weights: Weights, *, overwrite: bool = False) -> Path:
    """Keep weights under their id; gives the file.

    Raises OutputExistsError if there are such already and `overwrite` is False, OutputError.
    """
    path = path_of(weights.id)
    make_folder(path.parent)
    info = {"id": weights.id, "digest": weights.digest, **dataclasses.asdict(weights.info)}
    text = json.dumps(info, indent=1, ensure_ascii=False).encode()
    content = io.BytesIO()
    # numpy's own type of the argument knows no names of arrays
    arrays: dict[str, Any] = {_INFO: np.frombuffer(text, np.uint8), **weights.arrays}
    np.savez(content, **arrays)
    write_atomic(path, content.getvalue(), overwrite=overwrite)
    return path


def load_file(id: str, path: Path) -> Weights:
    """Weights straight from an official file, kept nowhere.

    id: of the registry, whatever the file is called. A file of other origin but the right layout
    is taken as well; `info.official` tells. Raises WeightsFileError, MissingExtraError, and
    EdgeAudioError for an unknown id or the official file of another.
    """
    official = registry.get(id)
    check_file(path)
    with reading(path, f"the weights of {id}"):
        content = digests.of_file(path)
    other = registry.recognise(content)
    if other is not None and other.id != id:
        raise WeightsFileError(
            f"{path} is the official file of {other.id}, not of {id}; "
            f"`edgeaudio weights import {other.id} {path}` takes it."
        )
    arrays = apart.read(official.importer, path)
    info = WeightsInfo(
        importer=official.importer,
        source=path.name,
        source_sha256=content.sha256,
        official=other is not None,
        date=datetime.now(UTC).date().isoformat(),
        licence=official.licence,
    )
    return make_weights(id, arrays, info)


def present() -> dict[str, WeightsInfo | None]:
    """What is kept, by id; None where a file is there and can't be read (`find` says why)."""
    found: dict[str, WeightsInfo | None] = {}
    for path in sorted(weights_home().glob("*.npz")):
        if _ID.fullmatch(path.stem):
            try:
                found[path.stem] = _read_info(path)
            except WeightsFileError:
                found[path.stem] = None
    return found


def make_folder(folder: Path) -> None:
    """Make a folder of the store. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} can't be made: {error.strerror}.") from None


def _read_info(path: Path) -> WeightsInfo:
    """The info alone: the arrays are not read."""
    check_file(path)
    with reading(path, _KIND):
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(f"{_INFO}.npy").file_size > _MAX_INFO_BYTES:
                raise ValueError(f"its {_INFO} is too long")
        with np.load(path, allow_pickle=False) as arrays:
            return _parse_info(arrays[_INFO].tobytes())[2]


def _parse_info(text: bytes) -> tuple[str, str, WeightsInfo]:
    """Id, digest and the rest. Raises ValueError, TypeError, KeyError."""
    held = json.loads(text)
    id, digest = held.pop("id"), held.pop("digest")
    info = WeightsInfo(**held)
    for field in dataclasses.fields(info):
        wanted = bool if field.name == "official" else str
        if not isinstance(getattr(info, field.name), wanted):
            raise ValueError(f"its {_INFO} says {field.name} is {getattr(info, field.name)!r}")
    return id, digest, info
