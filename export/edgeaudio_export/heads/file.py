"""Head files (`.head`): the head's ONNX graph, with what it says about itself as metadata.

Nothing in it can run code: no pickle, no custom operators, no data outside the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from edgeaudio import contract as contracts
from edgeaudio import seal
from edgeaudio.contract import HeadInfo
from edgeaudio.errors import ModelFileError
from edgeaudio.files import write_atomic
from edgeaudio_export.graphs import get_metadata, set_metadata

_PICKLES = (".joblib", ".pkl", ".pickle")
_MAX_BYTES = 512 * 2**20
_BRING_OVER = (
    "It is never opened here, since a pickle can run any code. To bring the head over, run in the "
    "Python that made it, with edgeaudio[export] installed there:\n"
    "  from edgeaudio_export.heads import save_sklearn\n"
    "  save_sklearn(joblib.load({name!r}), extractor='logmel-stats', fusion='late', "
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
        return int(self.graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value)


def write_head(head: HeadFile, path: Path, *, overwrite: bool = False) -> None:
    """Write a head file. Raises OutputExistsError."""
    model = onnx.ModelProto()
    model.CopyFrom(head.graph)
    set_metadata(model, {contracts.HEAD_KEY: contracts.to_json(head.info), seal.KEY: seal.BLANK})
    write_atomic(path, seal.seal(model.SerializeToString()), overwrite=overwrite)


def read_head(path: Path) -> HeadFile:
    """Read a head file. Raises ModelFileError if it is another kind of file, or damaged."""
    if path.suffix.lower() in _PICKLES or _looks_pickled(path):
        raise ModelFileError(f"{path} is a pickled head. " + _BRING_OVER.format(name=path.name))
    seal.check_seal(path)
    if path.stat().st_size > _MAX_BYTES:
        raise ModelFileError(f"{path} is larger than any head (over {_MAX_BYTES >> 20} MiB).")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
        metadata = get_metadata(model)
        if contracts.HEAD_KEY not in metadata:
            raise ModelFileError(f"{path} is no head file; make one with `edgeaudio train`.")
        info = contracts.head_from_json(metadata[contracts.HEAD_KEY])
        set_metadata(model, {})
        onnx.checker.check_model(model, full_check=True)
    except (ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).split("\n")[0]
        raise ModelFileError(f"{path} can't be used as a head: {reason}") from None
    return HeadFile(info, model)


def _looks_pickled(path: Path) -> bool:
    """Protocol 2 and later begin so; an ONNX file never does."""
    try:
        with path.open("rb") as file:
            first = file.read(2)
    except OSError:
        return False  # reported where the file is opened in earnest
    return len(first) == 2 and first[0] == 0x80 and first[1] <= 5
