"""Small common ground for everything that builds or reads an ONNX graph."""

from __future__ import annotations

import onnx

OPSET = 17
"""The oldest that has all we need, so that older ONNX Runtimes on devices can load it."""

IR_VERSION = 8


def set_metadata(model: onnx.ModelProto, entries: dict[str, str]) -> None:
    """Replace all metadata of `model`."""
    del model.metadata_props[:]
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)


def get_metadata(model: onnx.ModelProto) -> dict[str, str]:
    """Metadata of `model`."""
    return {entry.key: entry.value for entry in model.metadata_props}
