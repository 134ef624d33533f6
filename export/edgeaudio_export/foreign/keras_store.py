"""The containers that Keras keeps a model in, HDF5 and zip: checked before Keras opens them.

Imported in the worker process alone.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from edgeaudio_export.foreign import keras1
from edgeaudio_export.foreign.keras_config import parse_config
from edgeaudio_export.foreign.request import Refused
from edgeaudio_export.foreign.source import MAX_BYTES

_MEMBERS = {"config.json", "metadata.json", "model.weights.h5"}
_MAX_OBJECTS = 100_000
_MAX_JSON = 50_000_000


@dataclass(frozen=True)
class Kept:
    """version: of the Keras that wrote it, empty where it is not noted. legacy: 1 or 2."""

    version: str

    @property
    def legacy(self) -> bool:
        """Whether Keras 2 is to read it."""
        return not self.version or self.version.split(".")[0] in ("0", "1", "2")


def open_checked(source: Path) -> Kept:
    """Check a file; one of Keras 1 is rewritten in place, for Keras 2. Raises Refused."""
    if source.suffix == ".keras":
        return _check_zip(source)
    try:
        with h5py.File(source, "r") as file:
            config, version = _read_h5(file)
    except OSError as error:
        raise Refused(f"it is no whole HDF5 file ({_reason(error)})") from None
    if keras1.is_keras_1(config, version):
        try:
            new = json.dumps(keras1.translated(config))
        except (KeyError, TypeError, AttributeError):
            raise Refused("the description of its layers is not one that Keras 1 writes") from None
        with h5py.File(source, "r+") as file:
            del file.attrs["model_config"]
            file.attrs["model_config"] = new
    return Kept(version)


def _read_h5(file: h5py.File) -> tuple[dict[str, Any], str]:
    """What the file says of its model, and the version of Keras."""
    _check_h5(file)
    if "model_config" not in file.attrs:
        raise Refused(
            "it holds weights alone, without the layers that they belong to; save the whole model "
            "(model.save, not model.save_weights)"
        )
    config = parse_config(_text(file.attrs["model_config"]))
    if not isinstance(file.get("model_weights"), h5py.Group):
        raise Refused("it holds the layers of a model without their weights")
    return config, _text(file.attrs.get("keras_version", ""))


def _check_h5(file: h5py.File) -> None:
    """Raise Refused unless all data lies in the file itself, and fits into memory."""
    left, total, groups = _MAX_OBJECTS, 0, [file["/"]]
    visited = set()
    while groups:
        group = groups.pop()
        for name in group:
            left -= 1
            if not left:
                raise Refused(f"it holds more than {_MAX_OBJECTS} objects")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise Refused(f"{name[:80]!r} in it is a link to elsewhere, which is not followed")
            entry = group[name]
            if isinstance(entry, h5py.Dataset):
                total += _check_dataset(entry)
            elif isinstance(entry, h5py.Group) and entry.id not in visited:
                visited.add(entry.id)
                groups.append(entry)
    if total > MAX_BYTES:
        raise Refused(f"it unpacks to {total} bytes; at most {MAX_BYTES} are taken")


def _check_dataset(entry: h5py.Dataset) -> int:
    """Its size in bytes."""
    if entry.is_virtual or entry.external:
        raise Refused(f"{entry.name[:80]!r} in it lies in another file")
    return int(entry.size or 0) * int(entry.dtype.itemsize)


def _check_zip(source: Path) -> Kept:
    try:
        with zipfile.ZipFile(source) as archive:
            members = {m.filename: m for m in archive.infolist() if not m.is_dir()}
            if len(members) != len([m for m in archive.infolist() if not m.is_dir()]):
                raise Refused("it holds two members of one name")
            missing, extra = _MEMBERS - members.keys(), members.keys() - _MEMBERS
            if missing or extra:
                what = f"lacks {min(missing)}" if missing else f"also holds {min(extra)[:80]!r}"
                raise Refused(f"it {what}, unlike a Keras model of plain layers")
            if sum(m.file_size for m in members.values()) > MAX_BYTES:
                raise Refused(f"it unpacks to more than the {MAX_BYTES} bytes that are taken")
            parse_config(_member(archive, members["config.json"]))
            metadata = json.loads(_member(archive, members["metadata.json"]))
            weights = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(weights, "r") as file:
            _check_h5(file)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused(f"it is no whole Keras file ({_reason(error)})") from None
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return Kept(version if isinstance(version, str) else "3")


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.file_size > _MAX_JSON:
        raise Refused(f"its {member.filename} takes {member.file_size} bytes")
    return archive.read(member)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _reason(error: Exception) -> str:
    return str(error).split("\n")[0][:120].rstrip(".") or type(error).__name__
