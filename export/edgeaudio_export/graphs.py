"""Small common ground for everything that builds or reads an ONNX graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
"""The oldest that has all we need, so that older ONNX Runtimes on devices can load it."""

IR_VERSION = 8


class GraphBuilder:
    """Nodes and constants of a graph, added in order; names are made where none is given.

    prefix: begins every made name, so that parts of a graph can be told apart in a viewer.
    """

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.prefix = prefix
        self._made = 0

    def add(self, op: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """A node with one output, whose name is returned."""
        return self.split(op, *inputs, names=(name,), **attributes)[0]

    def split(
        self, op: str, *inputs: str, names: tuple[str | None, ...], **attributes: Any
    ) -> tuple[str, ...]:
        """A node with several outputs."""
        outputs = tuple(n or self._new_name(op) for n in names)
        self.nodes.append(helper.make_node(op, list(inputs), list(outputs), **attributes))
        return outputs

    def constant(self, value: Any, name: str | None = None) -> str:
        """An array in the file. A list of integers becomes int64."""
        found = name or self._new_name("constant")
        self.constants[found] = np.asarray(value)
        return found

    def rename_last(self, output: str, name: str) -> None:
        """Call the output of the last node `name`; it must be `output`, so far used by none."""
        if list(self.nodes[-1].output) != [output]:
            raise ValueError(f"{output} is not what the last node gives")
        self.nodes[-1].output[0] = name

    def model(
        self,
        name: str,
        inputs: dict[str, list[Any]],
        outputs: dict[str, list[Any]],
        input_type: int = TensorProto.FLOAT,
    ) -> onnx.ModelProto:
        """The finished model, checked. inputs, outputs: shapes by name; outputs are float32."""
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            name,
            [value(n, input_type, shape) for n, shape in inputs.items()],
            [value(n, TensorProto.FLOAT, shape) for n, shape in outputs.items()],
            [numpy_helper.from_array(v, n) for n, v in self.constants.items()],
        )
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _new_name(self, kind: str) -> str:
        self._made += 1
        return f"{self.prefix}{kind.lower()}.{self._made}"


def set_metadata(model: onnx.ModelProto, entries: dict[str, str]) -> None:
    """Replace all metadata of `model`."""
    del model.metadata_props[:]
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)


def get_metadata(model: onnx.ModelProto) -> dict[str, str]:
    """All metadata of `model`."""
    return {entry.key: entry.value for entry in model.metadata_props}
