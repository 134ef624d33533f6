"""Head files (`.head`): the head's ONNX graph, with what it says about itself as metadata.

Nothing in it can run code: no pickle, no custom operators, no data outside the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx.shape_inference import InferenceError

from edgeaudio import contract as contracts
from edgeaudio import seal
from edgeaudio.contract import HeadInfo
from edgeaudio.errors import ModelFileError
from edgeaudio.files import write_atomic
from edgeaudio.network import open_session
from edgeaudio_export.graphs import OPSET, get_metadata, set_metadata

_PICKLES = (".joblib", ".pkl", ".pickle")
_BRING_OVER = (
    "It is never opened here, since a pickle can run any code. If you trust where it comes from, "
    "bring it over in the Python that made it, with edgeaudio and its extra `export` installed:\n"
    "  import joblib\n"
    "  from edgeaudio_export.heads import save_sklearn\n"
    "  save_sklearn(joblib.load({path!r}), extractor='logmel-stats', fusion='late', "
    "path='t4.head')\n"
    "or train it anew: edgeaudio train DATA --head svm -o t4.head"
)


@dataclass(frozen=True)
class HeadFile:
    """A head ready for assembly. graph: `embedding` [N, D] -> `likelihood` [N, C]."""

    info: HeadInfo
    graph: onnx.ModelProto

    @property
    def dimensions(self) -> int:
        """D, the size of the embeddings that it takes."""
        return _width(self.graph.graph.input[0])


def write_head(head: HeadFile, path: Path, *, overwrite: bool = False) -> None:
    """Write a head file. Raises OutputExistsError."""
    model = onnx.ModelProto()
    model.CopyFrom(head.graph)
    set_metadata(model, {contracts.HEAD_KEY: contracts.to_json(head.info), seal.KEY: seal.BLANK})
    write_atomic(path, seal.seal(model.SerializeToString()), overwrite=overwrite)


def read_head(path: Path) -> HeadFile:
    """Read a head file. Raises ModelFileError if it is another kind of file, or damaged."""
    if path.suffix.lower() in _PICKLES or _looks_pickled(path):
        raise ModelFileError(f"{path} is a pickled head. " + _BRING_OVER.format(path=str(path)))
    data = seal.read_sealed(path)
    try:
        model = onnx.load_model_from_string(data)
        metadata = get_metadata(model)
        if contracts.HEAD_KEY not in metadata:
            raise ModelFileError(f"{path} is no head file; make one with `edgeaudio train`.")
        info = contracts.head_from_json(metadata[contracts.HEAD_KEY])
        set_metadata(model, {})
        _check_graph(model, len(info.labels))
    except (ValueError, DecodeError, onnx.checker.ValidationError, InferenceError) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise ModelFileError(f"{path} can't be used as a head: {reason}.") from None
    return HeadFile(info, model)


def _check_graph(model: onnx.ModelProto, classes: int) -> None:
    """Raise ValueError unless `model` is `embedding` [N, D] -> `likelihood` [N, `classes`].

    Only ONNX's own operators, up to our opset, with all data inside; and it runs.
    """
    onnx.checker.check_model(model, full_check=True)
    if any(o.domain or o.version > OPSET for o in model.opset_import) or model.functions:
        raise ValueError(f"it uses operators beyond ONNX opset {OPSET}")
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer):
        raise ValueError("part of it lies in another file")
    found = {t.name: _width(t) for t in (*model.graph.input, *model.graph.output)}
    dimensions = found.get("embedding", 0)
    if found != {"embedding": dimensions, "likelihood": classes} or dimensions < 1:
        raise ValueError(f"its graph has {found}, expected embedding and {classes} likelihoods")
    probe = np.zeros((2, dimensions), np.float32)
    try:
        found = open_session(model.SerializeToString()).run(["likelihood"], {"embedding": probe})
    except Exception as error:  # ONNX Runtime's own
        raise ValueError(f"its graph does not run ({error})") from None
    if found[0].shape != (2, classes) or not np.allclose(found[0].sum(axis=1), 1, atol=1e-3):
        raise ValueError("what it computes are no likelihoods")


def _width(tensor: onnx.ValueInfoProto) -> int:
    """The second of two dimensions, 0 where the tensor is no float32 matrix."""
    kind = tensor.type.tensor_type
    if kind.elem_type != onnx.TensorProto.FLOAT or len(kind.shape.dim) != 2:
        return 0
    return int(kind.shape.dim[1].dim_value)


def _looks_pickled(path: Path) -> bool:
    """Protocol 2 and later begin so; an ONNX file never does."""
    try:
        with path.open("rb") as file:
            first = file.read(2)
    except OSError:
        return False  # reported where the file is opened in earnest
    return len(first) == 2 and first[0] == 0x80 and first[1] <= 5
