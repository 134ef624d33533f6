"""Where imported extractors live on this machine: one sealed `.onnx` a name."""

from __future__ import annotations

import os
from pathlib import Path

import onnx

from edgeaudio import codec, seal
from edgeaudio.errors import EdgeAudioError, MissingWeightsError, ModelFileError
from edgeaudio.files import write_atomic
from edgeaudio_export.foreign.check import demand
from edgeaudio_export.foreign.extractor import Facts, ForeignExtractor, check_name
from edgeaudio_export.foreign.plain import check_plain, opset_of, parse
from edgeaudio_export.foreign.request import Refused
from edgeaudio_export.graphs import OPSET, get_metadata, set_metadata
from edgeaudio_export.home import home
from edgeaudio_export.weights.store import make_folder

KEY = "edgeaudio.extractor"


def extractors_home() -> Path:
    """The folder of imported extractors, beside that of the weights; it need not exist.

    Raises EdgeAudioError where there is no home folder.
    """
    return home() / "extractors"


def path_of(name: str) -> Path:
    """The file that the extractor `name` is kept in. Raises EdgeAudioError for a bad name."""
    check_name(name)
    return extractors_home() / f"{name}.onnx"


def save(extractor: ForeignExtractor, *, overwrite: bool = False) -> Path:
    """Keep an extractor under its name; gives the file.

    Raises OutputExistsError if there is one of that name and `overwrite` is False, OutputError,
    ModelFileError if its report does not hold.
    """
    path = path_of(extractor.id)
    demand(extractor.report, extractor.source)
    model = extractor.build()
    set_metadata(model, {KEY: codec.dumps(extractor.facts), seal.KEY: seal.BLANK})
    data = seal.seal(model.SerializeToString())
    _open(data, extractor.id, path)
    make_folder(path.parent)
    write_atomic(path, data, overwrite=overwrite)
    return path


def load(name: str) -> ForeignExtractor:
    """The imported extractor called `name`.

    Raises MissingWeightsError if there is none, ModelFileError if its file was damaged or
    changed, EdgeAudioError for a bad name.
    """
    path = path_of(name)
    if not os.path.lexists(path):
        raise MissingWeightsError(
            f"There is no imported extractor {name!r} on this machine; "
            f"`edgeaudio weights import --as {name} FILE` makes one of a model."
        )
    return _open(seal.read_sealed(path), name, path)


def present() -> dict[str, Facts | None]:
    """What is kept, by name; None where a file is there and can't be used (`load` says why)."""
    found: dict[str, Facts | None] = {}
    for path in sorted(extractors_home().glob("*.onnx")):
        try:
            check_name(path.stem)
        except EdgeAudioError:
            continue
        try:
            found[path.stem] = load(path.stem).facts
        except EdgeAudioError:
            found[path.stem] = None
    return found


def _open(data: bytes, name: str, path: Path) -> ForeignExtractor:
    try:
        model = parse(data)
        metadata = get_metadata(model)
        if KEY not in metadata:
            raise ValueError("it is not a file of `edgeaudio weights import`")
        if metadata.get(seal.KEY) in (None, seal.BLANK):
            raise ValueError("its digest is not where it belongs")
        facts = codec.loads(Facts, metadata[KEY], "its description")
        if facts.id != name:
            raise ValueError(f"it holds the extractor {facts.id!r}")
        set_metadata(model, {})
        _check_graph(model, facts)
    except (Refused, ValueError) as error:
        raise ModelFileError(
            f"{path} can't be used: {error}; import {name} once more (--force)."
        ) from None
    return ForeignExtractor(**vars(facts), model=model)


def _check_graph(model: onnx.ModelProto, facts: Facts) -> None:
    """Raise ValueError unless the graph is plain, and what the description says it is."""
    check_plain(model)
    found = [(t.name, *_shape(t)) for t in (*model.graph.input, *model.graph.output)]
    wanted = [("pcm", 0, facts.window), ("embedding", 0, facts.dimensions)]
    if found != wanted or opset_of(model) != OPSET:
        raise ValueError(f"its graph has {found} in opset {opset_of(model)}, expected {wanted}")


def _shape(tensor: onnx.ValueInfoProto) -> tuple[int, ...]:
    """Dimensions of a float32 tensor, 0 where one is open; empty for another type."""
    kind = tensor.type.tensor_type
    if kind.elem_type != onnx.TensorProto.FLOAT:
        return ()
    return tuple(int(d.dim_value) for d in kind.shape.dim)
