"""Files that `torch.save` wrote, of any age, read without running anything in them.

torch's own restricted reader does the work (`weights_only=True`). Up to torch 2.9 a hostile file
can get through it (CVE-2025-32434 up to 2.5, CVE-2026-24747 up to 2.9), so that older ones are
not used.
"""

from __future__ import annotations

import io
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from edgeaudio.errors import MissingExtraError, WeightsFileError
from edgeaudio.types import F32
from edgeaudio_export.weights.importers.common import (
    MAX_BYTES,
    Arrays,
    Layout,
    Shape,
    archive_names,
    check_shapes,
    check_values,
    float32,
    package,
    read_bytes,
)

_OLDEST = (2, 10)
_ZIP, _LEGACY = b"PK\x03\x04", b"\x80\x02"


def is_torch_file(start: bytes) -> bool:
    """Whether a file that begins so may be torch's: a zip archive, or a pickle before 1.6."""
    return start.startswith((_ZIP, _LEGACY))


def load(path: Path, limit: int = MAX_BYTES) -> dict[str, Any]:
    """The dictionary in a file: name to torch tensor or `PickledArray`.

    limit: bytes of the file. Raises WeightsFileError, MissingExtraError without torch, and what
    torch and zipfile raise.
    """
    torch = torch_package()
    data = read_bytes(path, limit)
    if not is_torch_file(data):
        raise WeightsFileError(f"{path} is no file that torch wrote; it begins with {data[:4]!r}.")
    if data.startswith(_ZIP):
        archive_names(data, limit, stored=True)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_STAND_INS):
            warnings.simplefilter("ignore")  # about pickle protocols and deprecated storages
            # From memory: torch would look for other, older formats in a named file.
            found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's message tells how to load the file all the same; that is not passed on.
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        wish = f"it asks for {asked[1]}" if asked else "it holds more than arrays"
        raise WeightsFileError(
            f"{path} was refused, and nothing in it was run: {wish}, which no file of weights "
            "needs."
        ) from None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise WeightsFileError(f"{path} holds no dictionary of arrays by name.")
    tensors = [value for value in found.values() if isinstance(value, torch.Tensor)]
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors) > len(data):
        raise WeightsFileError(f"{path} claims more values than it holds.")
    return found


def to_arrays(found: dict[str, Any], layout: Layout, path: Path) -> Arrays:
    """float32 arrays in C order, once names and shapes are those of `layout`.

    Raises WeightsFileError.
    """
    check_shapes({name: shape(name, value, path) for name, value in found.items()}, layout, path)
    arrays = {name: float32(found[name].detach().numpy()) for name in layout}
    return check_values(arrays, path)


def shape(name: str, value: Any, path: Path) -> Shape:
    """The shape of a plain float tensor in memory. Raises WeightsFileError for another value."""
    torch = torch_package()
    plain = (
        type(value) in (torch.Tensor, torch.nn.Parameter)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and value.dtype in (torch.float16, torch.float32, torch.float64)
    )
    if not plain:
        raise WeightsFileError(f"{path}: {name[:100]!r} is no plain array of floating point.")
    return tuple(value.shape)


class PickledDtype:
    """Stands in for numpy.dtype while a file is read: the code of a float type, or nothing."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code if isinstance(code, str) else ""
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"

    def dtype(self) -> np.dtype[Any]:
        """Raises ValueError for anything but floating point."""
        if self.code not in ("f2", "f4", "f8"):
            raise ValueError(f"it holds an array of {self.code!r}, expected floating point")
        return np.dtype(self.order + self.code)


class PickledArray:
    """Stands in for numpy's own way to rebuild an array while a file is read.

    numpy's would be asked to trust the sizes and types in the file; here they are only noted.
    """

    def __init__(self, *_: object) -> None:
        self._state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._state = state

    def array(self) -> F32:
        """The array. Raises ValueError, TypeError where the data is not what was promised."""
        _, shape, kind, fortran, data = self._state
        if not isinstance(kind, PickledDtype):
            raise ValueError("it holds an array without a type")
        content = data.encode("latin1") if isinstance(data, str) else data
        flat = np.frombuffer(content, dtype=kind.dtype())
        return float32(flat.reshape(shape, order="F" if fortran else "C"))


# By the names that numpy has given them over the years.
_STAND_INS = [
    (PickledArray, "numpy.core.multiarray._reconstruct"),
    (PickledArray, "numpy._core.multiarray._reconstruct"),
    (PickledArray, "numpy.ndarray"),
    (PickledDtype, "numpy.dtype"),
]


def torch_package() -> Any:
    """torch. Raises MissingExtraError where there is none, or one that is not safe enough."""
    torch = package("torch", "train")
    version = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if version < _OLDEST:
        raise MissingExtraError(
            f"Reading this file safely needs torch {_OLDEST[0]}.{_OLDEST[1]} or later, and here "
            f"is {torch.__version__}, in which a hostile file can run code: "
            f'pip install --upgrade "torch>={_OLDEST[0]}.{_OLDEST[1]}"'
        )
    return torch
