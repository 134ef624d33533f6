"""Arrays in JSON: base64 of zlib-compressed little-endian values."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAX_BYTES = 64 * 2**20


def pack(array: NDArray[Any]) -> str:
    """The text of an array of int16, float32 or float64."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return base64.b64encode(zlib.compress(little.tobytes(), 9)).decode("ascii")


def unpack(text: str, dtype: str, length: int) -> NDArray[Any]:
    """Inverse of `pack`. Raises ValueError unless exactly `length` values come out."""
    size = np.dtype(dtype).itemsize * length
    if size > _MAX_BYTES:
        raise ValueError(f"a packed array of {size} bytes is larger than any that is written")
    try:
        inflate = zlib.decompressobj()
        raw = inflate.decompress(base64.b64decode(text, validate=True), size + 1)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"a packed array is damaged: {error}") from None
    if len(raw) != size:
        raise ValueError(f"a packed array holds {len(raw)} bytes, expected {size}")
    return np.frombuffer(raw, dtype=np.dtype(dtype).newbyteorder("<")).astype(dtype)
