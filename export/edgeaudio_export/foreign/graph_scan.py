"""Which operators of TensorFlow a SavedModel may bring to where it is run.

Operators of TensorFlow read and write files, call Python and open connections. Taken are those
that compute from their inputs alone, and those that hold a model's variables. Looked at is
what loading and calling runs, and whatever that calls; not the part that would save the model.
Imported in the worker process alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from tensorflow.python.framework import op_def_registry

from edgeaudio_export.foreign.request import Refused

# With a state, but harmless: variables, calls, loops, and random numbers of layers at rest.
_STATEFUL_NAMES = """
VarHandleOp ReadVariableOp AssignVariableOp AssignAddVariableOp AssignSubVariableOp
DisableCopyOnRead VarIsInitializedOp ResourceGather IsVariableInitialized Variable VariableV2
StatefulPartitionedCall While If Case Assert RandomUniform RandomStandardNormal TruncatedNormal
RandomUniformInt Multinomial TensorArrayV3 TensorArrayReadV3 TensorArrayWriteV3
TensorArrayGatherV3 TensorArrayScatterV3 TensorArraySizeV3 TensorArrayCloseV3
TensorArrayConcatV3 TensorArraySplitV3 CudnnRNNV3
"""
_STATEFUL = frozenset(_STATEFUL_NAMES.split())
_RESTORING = frozenset({"RestoreV2", "Restore", "RestoreSlice"})
# Said to have no state although they touch more than their inputs.
_OUTSIDE = re.compile("File|ImmutableConst|PyFunc|Dataset|Debug|Custom|Xla|Rpc|Load|Save|Sharded")
_SHARDED = frozenset({"ShardedFilename"})  # makes a name, and no more


def check_functions(library: Any, roots: Iterable[str]) -> None:
    """Raise Refused unless the functions called `roots`, and what they call, only compute.

    library: FunctionDefLibrary.
    """
    functions = {function.signature.name: function for function in library.function}
    waiting, seen = list(roots), set(roots)
    while waiting:
        name = waiting.pop()
        if name not in functions:
            raise Refused(f"it calls the function {name[:80]!r}, which it does not hold")
        for node in functions[name].node_def:
            _check_node(node)
            for called in _called(node):
                if called not in seen:
                    seen.add(called)
                    waiting.append(called)


def check_nodes(graph: Any, roots: Iterable[str], *, restoring: bool = False) -> None:
    """The same for nodes of the main graph, GraphDef, and all that they depend on.

    roots: names of nodes or tensors. restoring: they may read variables from the model's files.
    """
    nodes = {node.name: node for node in graph.node}
    waiting = [_node_of(name) for name in roots]
    seen = set(waiting)
    functions: list[str] = []
    while waiting:
        name = waiting.pop()
        if name not in nodes:
            raise Refused(f"its graph has no node {name[:80]!r}")
        node = nodes[name]
        if not (restoring and node.op in _RESTORING | _SHARDED):
            _check_node(node)
        functions += _called(node)
        new = {_node_of(source) for source in node.input} - seen
        seen |= new
        waiting += new
    check_functions(graph.library, functions)


def _check_node(node: Any) -> None:
    definition = op_def_registry.get(node.op)
    if definition is None:
        raise Refused(f"it uses {node.op[:80]!r}, which is no operator of TensorFlow")
    if node.op not in _STATEFUL and (definition.is_stateful or _OUTSIDE.search(node.op)):
        raise Refused(
            f"it uses TensorFlow's {node.op}, which reaches beyond the model's own numbers; "
            "taken are operators that compute from their inputs, variables, calls and loops"
        )


def _called(node: Any) -> Iterator[str]:
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (function.name for function in value.list.func)


def _node_of(name: str) -> str:
    return name.removeprefix("^").partition(":")[0]
