"""A foreign model as one of our extractors, and what is known of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields

import onnx
from onnx import TensorProto, helper

from edgeaudio.errors import EdgeAudioError
from edgeaudio.spectrogram import SpectrogramSpec
from edgeaudio_export.catalogue import CATALOGUE
from edgeaudio_export.foreign.attach import attached
from edgeaudio_export.foreign.check import Report
from edgeaudio_export.foreign.frontends import get_frontend
from edgeaudio_export.foreign.request import SourceKind
from edgeaudio_export.weights import registry

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True)
class Facts:
    """What is known of an imported extractor.

    id: the name it was given. sample_rate in Hz; window in samples. digest: SHA-256 of the
    source and of how it is used. kind, source, source_sha256: what it was made of, and that
    file's name and digest. frontend: one of ours, where it takes a log-mel. layer: whose output
    the embedding is, the last if None. created: UTC. versions: of what converted it. report:
    how far it is from its source.
    """

    id: str
    sample_rate: int
    window: int
    dimensions: int
    digest: str
    licence: str
    kind: SourceKind
    source: str
    source_sha256: str
    frontend: str | None
    layer: str | None
    created: str
    versions: dict[str, str]
    report: Report


@dataclass(frozen=True)
class ForeignExtractor(Facts):
    """An imported extractor. model: `pcm` float32 [N, window] -> `embedding` [N, dimensions]."""

    model: onnx.ModelProto = field(repr=False, compare=False)

    @property
    def facts(self) -> Facts:
        """All but the graph."""
        return Facts(**{f.name: getattr(self, f.name) for f in fields(Facts)})

    @property
    def front_end(self) -> SpectrogramSpec | None:
        """Of ours, as its graph holds it."""
        if self.frontend is None:
            return None
        return attached(get_frontend(self.frontend, self.sample_rate, self.window).spec)

    def build(self, input_type: int = TensorProto.FLOAT) -> onnx.ModelProto:
        """A copy of the graph. input_type: DOUBLE takes `pcm` as float64, and rounds it."""
        found = onnx.ModelProto()
        found.CopyFrom(self.model)
        if input_type == TensorProto.FLOAT:
            return found
        graph, inner = found.graph, "pcm.float32"
        for node in graph.node:
            node.input[:] = [inner if name == "pcm" else name for name in node.input]
        graph.node.insert(0, helper.make_node("Cast", ["pcm"], [inner], to=TensorProto.FLOAT))
        graph.input[0].type.tensor_type.elem_type = input_type
        return found


def check_name(name: str) -> None:
    """Raise EdgeAudioError unless an imported extractor can be called `name`."""
    if not _NAME.fullmatch(name):
        raise EdgeAudioError(
            f"An extractor can't be called {name!r}: a name has 1 to 63 small letters, digits and "
            "hyphens, and begins with a letter or digit."
        )
    if name in CATALOGUE or name in registry.officials():
        raise EdgeAudioError(f"{name} is an extractor of edgeaudio's own; choose another name.")
