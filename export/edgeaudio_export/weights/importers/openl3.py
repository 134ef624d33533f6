"""OpenL3's weights as Keras saved them: `.h5`, or `.h5.gz` as they are published.

Keras loads such a file by the order of its layers, whatever their numbers, and so does this.
Files before v0_4_0 begin with the weights of the spectrogram layer, which are left out: the same
network is the same weights, whichever release it comes from.
"""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgeaudio.errors import WeightsFileError
from edgeaudio_export.weights.importers import layouts
from edgeaudio_export.weights.importers.common import (
    Arrays,
    check_shapes,
    check_values,
    float32,
    package,
    read_bytes,
    reading,
)

MAX_UNPACKED = 200_000_000  # bytes; the official files have about 20 MB
_KIND = "OpenL3 weights (.h5 or .h5.gz)"
_MAX_NAMES = 1000  # in an attribute
_MAX_NAME_BYTES = 200_000
_FILTERS = {1, 2, 3}  # deflate, shuffle, Fletcher's checksum


def read(path: Path, bands: int = 0) -> Arrays:
    """The arrays of `layouts.OPENL3`.

    bands: of the mel spectrogram that the network takes, 0 for a linear one. The shapes of the
    network are the same for all, but a file from before v0_4_0 tells, and is held to it.
    Raises WeightsFileError, and MissingExtraError without h5py.
    """
    h5py = package("h5py", "export")
    with reading(path, _KIND):
        content = io.BytesIO(_unpacked(path))
        with h5py.File(content, "r") as file:
            datasets = _datasets(file, h5py, path, bands)
            check_shapes({n: d.shape for n, d in datasets.items()}, layouts.OPENL3, path)
            arrays = {name: _array(name, dataset) for name, dataset in datasets.items()}
    return check_values(arrays, path)


def _unpacked(path: Path) -> bytes:
    data = read_bytes(path, MAX_UNPACKED)
    if not data.startswith(b"\x1f\x8b"):
        return data
    with gzip.open(io.BytesIO(data)) as packed:
        unpacked = packed.read(MAX_UNPACKED + 1)
    if len(unpacked) > MAX_UNPACKED:
        raise WeightsFileError(f"{path} unpacks to more than {MAX_UNPACKED} bytes.")
    return unpacked


def _datasets(file: Any, h5py: Any, path: Path, bands: int) -> dict[str, Any]:
    """Datasets by canonical name; none of them is read yet."""
    found: dict[str, Any] = {}
    names = list(dict.fromkeys(name.partition("/")[0] for name in layouts.OPENL3))
    layers = []
    for layer, weights in _weighted_layers(file, h5py):
        if "spectrogram" in layer:  # before v0_4_0 the front-end was part of the file
            _check_bands(weights, bands, path)
        else:
            layers.append((layer, weights))
    if len(layers) != len(names):
        raise WeightsFileError(
            f"{path} holds {len(layers)} layers with weights, OpenL3's audio network has "
            f"{len(names)}."
        )
    for canonical, (_, weights) in zip(names, layers, strict=True):
        found |= {f"{canonical}/{role}": dataset for role, dataset in weights.items()}
    return found


def _check_bands(front_end: dict[str, Any], bands: int, path: Path) -> None:
    """Raise WeightsFileError if an old file's mel matrix is one of another front-end."""
    found = front_end["freq2mel"].shape[-1] if "freq2mel" in front_end else bands
    if found != bands:
        wanted = f"{bands} mel bands" if bands else "a linear spectrogram"
        raise WeightsFileError(
            f"{path} holds weights for {found} mel bands, expected those for {wanted}."
        )


def _weighted_layers(file: Any, h5py: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and datasets by role of each layer that has weights, in the order of the model."""
    for layer in _names(file, "layer_names"):
        group = _inside(file, layer, h5py)
        weights = {
            _role(name): _inside(group, name, h5py) for name in _names(group, "weight_names")
        }
        if not all(isinstance(dataset, h5py.Dataset) for dataset in weights.values()):
            raise ValueError(f"in {layer}, not every weight is a dataset")
        if weights:
            yield layer, weights


def _role(name: str) -> str:
    """`conv2d_1/kernel:0` is the kernel."""
    return name.rpartition("/")[2].partition(":")[0]


def _names(group: Any, key: str) -> list[str]:
    """An attribute that lists names, which h5py gives as bytes or as str."""
    if key not in group.attrs:
        raise ValueError(f"it has no {key}, which Keras writes")
    attribute = group.attrs.get_id(key)
    count = math.prod(attribute.shape or ())
    if count == 0:  # of a layer without weights
        return []
    if count > _MAX_NAMES or attribute.get_storage_size() > _MAX_NAME_BYTES:
        raise ValueError(f"{key} is too long")
    names = [n.decode() if isinstance(n, bytes) else n for n in np.ravel(group.attrs[key]).tolist()]
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"{key} holds no names")
    return names


def _inside(group: Any, name: str, h5py: Any) -> Any:
    """What `name` leads to, by hard links alone: others may lead to other files."""
    for part in name.split("/"):
        if part in ("", ".", ".."):
            raise ValueError(f"{name!r} is no name of a layer or weight")
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"{name!r} is missing, or a link to elsewhere")
        group = group[part]
    return group


def _array(name: str, dataset: Any) -> Any:
    """Read a dataset whose shape is known to be right, so that its size is."""
    if dataset.dtype.kind != "f":
        raise ValueError(f"{name} holds {dataset.dtype}, expected floating point")
    properties = dataset.id.get_create_plist()
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name} lies in another file")
    filters = {properties.get_filter(k)[0] for k in range(properties.get_nfilters())}
    if not filters <= _FILTERS or math.prod(dataset.chunks or (1,)) > dataset.size:
        raise ValueError(f"{name} is stored in a way that Keras does not use")
    return float32(dataset[...])
