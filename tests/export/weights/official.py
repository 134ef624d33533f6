"""Writes files in the layouts of the official ones."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from edgeaudio.types import F32

Drawn = dict[tuple[str, str], F32]

_TORCH_ROLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_NORM_ROLES = ("gamma", "beta", "moving_mean", "moving_variance")


def torch_names(drawn: Drawn) -> dict[str, F32]:
    """Arrays of the recipe as torch names them."""
    return {f"{layer}.{_TORCH_ROLES[role]}": array for (layer, role), array in drawn.items()}


def openl3_order() -> list[str]:
    """Layers of OpenL3, those without weights included."""
    order = ["input_1"]
    for k in range(1, 9):
        order += [f"batch_normalization_{k}", f"activation_{k}"]
        order += [f"conv2d_{k}" if k < 8 else "audio_embedding_layer"]
    return [*order, "max_pooling2d_4", "flatten_1"]


def write_openl3(
    path: Path,
    arrays: dict[str, F32],
    *,
    offset: int = 0,
    text: bool = False,
    mel: F32 | None = None,
) -> None:
    """As Keras' `save_weights` lays it out. arrays: by canonical name.

    offset: added to the numbers in names. text: attributes hold str, not bytes. mel: makes it
    a file before v0_4_0, with a spectrogram layer.
    """
    import h5py

    def named(layer: str) -> str:
        stem, _, number = layer.rpartition("_")
        return f"{stem}_{int(number) + offset}" if number.isdecimal() else layer

    def attribute(names: list[str]) -> object:
        if not names:
            return np.zeros(0)
        return np.array(names, h5py.string_dtype() if text else "S")

    with h5py.File(path, "w") as file:
        order = [("", "melspectrogram_1")] if mel is not None else []
        order += [(layer, named(layer)) for layer in openl3_order()]
        file.attrs["layer_names"] = attribute([name for _, name in order])
        file.attrs["backend"] = b"tensorflow"
        for layer, name in order:
            group = file.create_group(name)
            roles = [r for r in (*_NORM_ROLES, "kernel", "bias") if f"{layer}/{r}" in arrays]
            held = {f"{name}/{role}:0": arrays[f"{layer}/{role}"] for role in roles}
            if layer == "" and mel is not None:
                held = {
                    f"{name}/real_kernels:0": np.zeros((16, 1, 1, 9), np.float32),
                    f"{name}/freq2mel:0": mel,
                }
            group.attrs["weight_names"] = attribute(list(held))
            for key, values in held.items():
                group.create_dataset(key, data=values)


def write_torch_of_python2(
    path: Path, arrays: dict[str, F32], storage: str = "torch FloatStorage", location: str = "cpu"
) -> None:
    """A state dict as PyTorch 0.3 under Python 2 saved it: no zip, byte strings, old rebuilder."""
    out = bytearray()
    out += b"\x80\x02\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b"."
    out += b"\x80\x02M" + struct.pack("<H", 1001) + b"."
    out += b"\x80\x02}(" + _text("protocol_version") + b"M\xe9\x03"
    out += _text("little_endian") + b"\x88" + b"u."
    out += b"\x80\x02ccollections\nOrderedDict\n(]("
    for k, (name, array) in enumerate(arrays.items()):
        strides = np.array(array.strides) // array.itemsize
        out += b"](" + _text(name) + b"ctorch._utils\n_rebuild_tensor\n((" + _text("storage")
        out += b"c%s\n" % storage.replace(" ", "\n").encode() + _text(str(k)) + _text(location)
        out += _int(array.size) + b"NtQ" + b"K\x00" + _tuple(array.shape) + _tuple(strides)
        out += b"tRe"
    out += b"etR."
    out += b"\x80\x02](" + b"".join(_text(str(k)) for k in range(len(arrays))) + b"e."
    for array in arrays.values():
        out += struct.pack("<q", array.size) + array.astype("<f4").tobytes()
    path.write_bytes(bytes(out))


def _text(text: str) -> bytes:
    return b"U" + bytes([len(text)]) + text.encode()


def _int(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _tuple(values: object) -> bytes:
    return b"(" + b"".join(_int(int(v)) for v in values) + b"t"  # type: ignore[attr-defined]
