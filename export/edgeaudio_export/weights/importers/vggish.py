"""VGGish: the PyTorch port's state dict, and TensorFlow's own checkpoint, to the port's names.

The port takes the flattened map in TensorFlow's order, so that dense matrices need a transpose
and no permutation.
"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

from edgeaudio.errors import WeightsFileError
from edgeaudio.types import F32
from edgeaudio_export.weights.importers import layouts, torchfile
from edgeaudio_export.weights.importers.common import (
    MAX_BYTES,
    Arrays,
    check_file,
    check_shapes,
    check_values,
    float32,
    package,
    read_bytes,
    read_npz,
    reading,
)

_KIND = "VGGish weights (.pth or a TensorFlow checkpoint)"
_PCA_KIND = "VGGish PCA parameters (.pth or .npz)"
_MAX_PCA_BYTES = 10_000_000
_PCA_NAMES = {"pca.eigenvectors": "pca_eigen_vectors", "pca.means": "pca_means"}
_TABLE_END = bytes.fromhex("57fb808b247547db")  # of a table, which a checkpoint begins as
_VARIABLES = {
    "features.0": "vggish/conv1",
    "features.3": "vggish/conv2",
    "features.6": "vggish/conv3/conv3_1",
    "features.8": "vggish/conv3/conv3_2",
    "features.11": "vggish/conv4/conv4_1",
    "features.13": "vggish/conv4/conv4_2",
    "embeddings.0": "vggish/fc1/fc1_1",
    "embeddings.2": "vggish/fc1/fc1_2",
    "embeddings.4": "vggish/fc2",
}


def read(path: Path) -> Arrays:
    """The arrays of `layouts.VGGISH`.

    path: a `.pth`; a checkpoint of one file; or the `.index` of a checkpoint of several.
    Raises WeightsFileError, and MissingExtraError without torch or TensorFlow.
    """
    with reading(path, _KIND):
        check_file(path)
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(-min(len(_TABLE_END), path.stat().st_size), os.SEEK_END)
            end = file.read()
        if torchfile.is_torch_file(start):
            return torchfile.to_arrays(torchfile.load(path), layouts.VGGISH, path)
        if end == _TABLE_END:
            return _read_checkpoint(path)
    raise WeightsFileError(
        f"{path} is neither a .pth file nor a TensorFlow checkpoint (of several files, name the "
        ".index)."
    )


def read_pca(path: Path) -> Arrays:
    """The arrays of `layouts.VGGISH_PCA`. Raises as `read` does."""
    with reading(path, _PCA_KIND):
        data = read_bytes(path, _MAX_PCA_BYTES)
        if not torchfile.is_torch_file(data):
            raise WeightsFileError(f"{path} is neither a .pth nor an .npz file.")
        found: dict[str, Any]
        if _is_npz(data):
            found = read_npz(data, _MAX_PCA_BYTES)
        else:
            found = torchfile.load(path, _MAX_PCA_BYTES)
        missing = [name for name in _PCA_NAMES.values() if name not in found]
        if missing:
            raise WeightsFileError(f"{path} lacks {missing[0]}.")
        arrays = {name: _values(old, found[old], path) for name, old in _PCA_NAMES.items()}
    means = arrays["pca.means"]
    if means.shape == (128, 1):
        arrays["pca.means"] = means.reshape(128)
    check_shapes({n: a.shape for n, a in arrays.items()}, layouts.VGGISH_PCA, path)
    return check_values(arrays, path)


def _is_npz(data: bytes) -> bool:
    """Both numpy and torch write zip archives; the names in them tell which."""
    if not data.startswith(b"PK"):
        return False
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return any(name.endswith(".npy") for name in archive.namelist())


def _values(name: str, value: Any, path: Path) -> F32:
    if isinstance(value, torchfile.PickledArray):
        return value.array()
    if hasattr(value, "detach"):
        torchfile.shape(name, value, path)
        value = value.detach().numpy()
    return float32(value)


def _read_checkpoint(path: Path) -> Arrays:
    tensorflow = package("tensorflow", "tf")
    reader = tensorflow.train.load_checkpoint(str(_prefix(path)))
    held = reader.get_variable_to_shape_map()
    arrays: Arrays = {}
    for name, shape in layouts.VGGISH.items():
        module, _, role = name.rpartition(".")
        variable = f"{_VARIABLES[module]}/{'weights' if role == 'weight' else 'biases'}"
        there = shape[2:] + shape[1::-1]  # TensorFlow's: (height, width, in, out) or (in, out)
        # Besides these a checkpoint holds the optimiser's variables, which nobody needs.
        check_shapes({v: held[v] for v in (variable,) if v in held}, {variable: there}, path)
        values = reader.get_tensor(variable)
        arrays[name] = float32(values.transpose(3, 2, 0, 1) if len(shape) == 4 else values.T)
    return check_values(arrays, path)


def _prefix(path: Path) -> Path:
    """What TensorFlow calls a checkpoint: the file, or what its several files begin with."""
    if path.suffix != ".index":
        return path
    prefix = path.with_suffix("")
    parts = sorted(path.parent.glob(f"{prefix.name}.data-*"))
    for part in parts:
        check_file(part, MAX_BYTES)
    return prefix
