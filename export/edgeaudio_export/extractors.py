"""Which extractors there are, by id, and how one is made of its weights.

An id may carry options behind an `@`: `openl3-mel256-music-512@librosa`, `vggish@preact`,
`kumar@layer19,reflect`. Options that are the default are left out, so that one extractor has
one id wherever it is written down: heads and model files are tied to it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from edgeaudio.errors import EdgeAudioError
from edgeaudio.spectrogram import SpectrogramSpec
from edgeaudio.types import F32, F64
from edgeaudio_export import foreign
from edgeaudio_export.catalogue import CATALOGUE, Entry, Options
from edgeaudio_export.frontends.graph import add_spectrogram
from edgeaudio_export.graphs import GraphBuilder
from edgeaudio_export.weights import store


@dataclass(frozen=True)
class Columns:
    """A whole file's spectrogram to columns; sizes as in the catalogue's `WholeFile`.

    spectrogram: samples [n] -> float32 [T, bands]. graph: makes `spectrogram` float32
    [1, T, bands] -> `columns` [1, D, T // step - 1].
    """

    spectrogram: Callable[[F64], F32]
    graph: Callable[[], onnx.ModelProto]
    bands: int
    frame: int
    step: int
    margin: int


@dataclass(frozen=True)
class Extractor:
    """Window to embedding, ready to be written into a graph.

    id: with its options. sample_rate in Hz; window and hop in samples. digest: SHA-256 of its
    weights and of how they are used, or of its definition where it has none. licences: of the
    weights inside, if any. front_end: how its graph makes a spectrogram, where it makes one of
    ours. float_digest: of the same in float32, where this computes in int8. centred: see the
    catalogue. columns: the peer's way with a whole file, where it has one.
    """

    id: str
    sample_rate: int
    window: int
    hop: int
    dimensions: int
    digest: str
    build: Callable[[int], onnx.ModelProto] = field(repr=False)
    licences: tuple[str, ...] = ()
    front_end: SpectrogramSpec | None = field(default=None, repr=False)
    float_digest: str | None = None
    centred: bool = False
    columns: Columns | None = field(default=None, repr=False)

    def graph(self, input_type: int = TensorProto.FLOAT) -> onnx.ModelProto:
        """ONNX: `pcm` float32 [N, window] -> `embedding` float32 [N, dimensions].

        input_type: DOUBLE takes `pcm` as float64, for comparisons with code that keeps it so.
        """
        return self.build(input_type)


def get_extractor(
    name: str, *, files: tuple[Path, ...] = (), options: Mapping[str, str] | None = None
) -> Extractor:
    """The extractor called `name`, with the options in the name and those given by group.

    files: official weight files to read instead of the imported ones, in the order in which
    the entry names its weights. A name that `weights import --as` gave takes neither.
    Raises EdgeAudioError for an unknown name or option, MissingWeightsError, ModelFileError.
    """
    if _is_imported(name):
        return _foreign(name, files, options or {})
    entry, chosen = resolve(name, options or {})
    weights = _load(entry, chosen, files)
    digest = entry.definition
    if digest is None:
        text = f"{entry.id} {sorted(chosen.items())} {entry.version}"
        parts = (text, *(w.digest for w in weights))
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    arrays = {key: value for w in weights for key, value in w.arrays.items()}

    def build(input_type: int) -> onnx.ModelProto:
        return _graph(entry, chosen, arrays, input_type)

    return Extractor(
        id=identifier(entry, chosen),
        sample_rate=entry.sample_rate,
        window=entry.window,
        hop=entry.hop,
        dimensions=entry.dimensions(chosen),
        digest=digest,
        build=build,
        licences=tuple(dict.fromkeys(w.info.licence for w in weights)),
        front_end=entry.front_end(chosen),
        centred=entry.centred,
        columns=_columns(entry, chosen, arrays),
    )


def _is_imported(name: str) -> bool:
    try:
        return os.path.lexists(foreign.path_of(name))
    except EdgeAudioError:  # no name of an imported one
        return False


def _foreign(name: str, files: tuple[Path, ...], options: Mapping[str, str]) -> Extractor:
    if files or options:
        what = "official weight files" if files else f"options ({', '.join(options)})"
        raise EdgeAudioError(f"{name} is an imported extractor; it takes no {what}.")
    found = foreign.load(name)
    return Extractor(
        id=name,
        sample_rate=found.sample_rate,
        window=found.window,
        hop=max(1, found.window // 2),
        dimensions=found.dimensions,
        digest=found.digest,
        build=found.build,
        licences=(found.licence,) if found.licence else (),
        front_end=found.front_end,
    )


def resolve(name: str, given: Mapping[str, str]) -> tuple[Entry, Options]:
    """The entry of the catalogue and the value of each of its options. Raises EdgeAudioError."""
    base, _, rest = name.partition("@")
    if base not in CATALOGUE:
        raise EdgeAudioError(f"There is no extractor {base!r}; see `edgeaudio extractors`.")
    entry = CATALOGUE[base]
    chosen = {group: values[0] for group, values in entry.options.items()}
    named: set[str] = set()
    for value in filter(None, rest.split(",")):
        groups = [group for group, values in entry.options.items() if value in values]
        if not groups:
            raise EdgeAudioError(f"{base} has no option {value!r}; {_describe(entry)}.")
        if groups[0] in named:
            raise EdgeAudioError(f"{name} names two options of {groups[0]}; {_describe(entry)}.")
        named.add(groups[0])
        chosen[groups[0]] = value
    for group, value in given.items():
        if value not in entry.options.get(group, ()):
            raise EdgeAudioError(f"{base} has no {group} {value!r}; {_describe(entry)}.")
        if group in named and chosen[group] != value:
            raise EdgeAudioError(f"{name} says {chosen[group]}, and {group} {value} is asked for.")
        chosen[group] = value
    return entry, chosen


def identifier(entry: Entry, chosen: Options) -> str:
    """The id with the options that are not the default."""
    extra = [v for group, v in sorted(chosen.items()) if v != entry.options[group][0]]
    return entry.id + ("@" + ",".join(extra) if extra else "")


def _describe(entry: Entry) -> str:
    groups = [f"{group}: {', '.join(values)}" for group, values in entry.options.items()]
    return "it has " + ("; ".join(groups) if groups else "none")


def _load(entry: Entry, chosen: Options, files: tuple[Path, ...]) -> tuple[store.Weights, ...]:
    names = entry.weights(chosen)
    if files and not names:
        raise EdgeAudioError(f"{entry.id} has no weights; leave out --weights.")
    if files and len(files) != len(names):
        raise EdgeAudioError(
            f"{entry.id} needs the weights of {' and '.join(names)}, a file each; "
            f"{len(files)} were given."
        )
    if files:
        return tuple(store.load_file(n, file) for n, file in zip(names, files, strict=True))
    return tuple(store.require(name) for name in names)


def _graph(
    entry: Entry, chosen: Options, arrays: Mapping[str, Any], input_type: int
) -> onnx.ModelProto:
    b, pcm, front_end = GraphBuilder(), "pcm", entry.front_end(chosen)
    if input_type == TensorProto.DOUBLE and entry.rounds(chosen):
        pcm = b.add("Cast", pcm, to=TensorProto.FLOAT)
    spectrogram = add_spectrogram(b, pcm, front_end)
    b.rename_last(entry.add(b, spectrogram, arrays, chosen), "embedding")
    return b.model(
        entry.id,
        {"pcm": ["N", entry.window]},
        {"embedding": ["N", entry.dimensions(chosen)]},
        input_type,
    )


def _columns(entry: Entry, chosen: Options, arrays: Mapping[str, Any]) -> Columns | None:
    whole = entry.whole
    if whole is None:
        return None

    def graph() -> onnx.ModelProto:
        b = GraphBuilder()
        b.rename_last(whole.add(b, "spectrogram", arrays, chosen), "columns")
        inputs = {"spectrogram": [1, "T", whole.bands]}
        return b.model(entry.id, inputs, {"columns": [1, entry.dimensions(chosen), "C"]})

    return Columns(
        spectrogram=lambda samples: whole.spectrogram(samples, chosen),
        graph=graph,
        bands=whole.bands,
        frame=whole.frame,
        step=whole.step,
        margin=whole.margin,
    )
