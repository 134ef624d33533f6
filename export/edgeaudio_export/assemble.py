"""Extractor and head to ONE model file, with its contract and golden vectors, sealed."""

from __future__ import annotations

import base64
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from edgeaudio import contract as contracts
from edgeaudio import seal
from edgeaudio.audio.resample import resampler_name
from edgeaudio.contract import (
    DEFAULT_HORIZON,
    Contract,
    ExtractorInfo,
    GoldenVector,
    Tolerance,
)
from edgeaudio.errors import EdgeAudioError
from edgeaudio.model import Model, check_golden, load_model, open_model, whole_graph_results
from edgeaudio.packing import pack
from edgeaudio.quantisation import Quantisation
from edgeaudio.types import F32
from edgeaudio_export.calibration import Calibration
from edgeaudio_export.extractors import Extractor
from edgeaudio_export.golden import generated_windows, on_grid
from edgeaudio_export.graphs import IR_VERSION, OPSET, set_metadata
from edgeaudio_export.heads.file import HeadFile
from edgeaudio_export.versions import versions

LEAST_STEADY = 3
_TRIES, _LAST_BITS = 4, 5  # how often, and how many values get another last bit


def assemble(
    extractor: Extractor,
    head: HeadFile | None,
    *,
    horizon: float = DEFAULT_HORIZON,
    calibration: Calibration | None = None,
    quantisation: Quantisation | None = None,
) -> bytes:
    """The bytes of a model file; it has been loaded and has passed its own golden vectors.

    horizon: seconds that one live decision covers. Without a head the file is an extractor.
    quantisation: what is known of an extractor in int8.
    Raises EdgeAudioError if the head was trained on another extractor.
    """
    network = extractor.graph()
    check_match(extractor, head, horizon)
    model = join(network, head.graph if head else None)
    windows = generated_windows(extractor.window, extractor.sample_rate)
    windows |= calibration.windows if calibration else {}
    contract = Contract(
        schema_version=contracts.SCHEMA_VERSION,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        extractor=ExtractorInfo(
            id=extractor.id,
            digest=extractor.digest,
            dimensions=extractor.dimensions,
            sample_rate=extractor.sample_rate,
            window=extractor.window,
            hop=extractor.hop,
            tail="drop",
            resampler=resampler_name(),
        ),
        head=head.info if head else None,
        head_graph=_encode(head.graph) if head else "",
        horizon=horizon,
        licences=extractor.licences,
        versions=versions("onnx"),
        golden=(),
        levels=calibration.levels if calibration else None,
        front_end=extractor.front_end,
        quantisation=quantisation,
    )
    made = open_model(model.SerializeToString(), contract)
    if quantisation:
        windows = steady_windows(made, windows)
    contract = replace(contract, golden=golden_vectors(made, windows))
    set_metadata(model, {contracts.KEY: contracts.to_json(contract), seal.KEY: seal.BLANK})
    data = seal.seal(model.SerializeToString())
    _prove(data)
    return data


def join(network: onnx.ModelProto, head: onnx.ModelProto | None) -> onnx.ModelProto:
    """One graph `pcm` -> `embedding`, `likelihood`; only `embedding` without a head."""
    parts = [network.graph]
    if head:
        clashes = _names(network.graph) & _names(head.graph) - {"embedding"}
        parts.append(_renamed(head.graph, {name: f"head.{name}" for name in clashes}))
    graph = helper.make_graph(
        [node for part in parts for node in part.node],
        "edgeaudio",
        [*network.graph.input],
        [output for part in parts for output in part.output],
        [tensor for part in parts for tensor in part.initializer],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="edgeaudio",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _names(graph: onnx.GraphProto) -> set[str]:
    """What a graph calls its tensors."""
    outputs = {name for node in graph.node for name in node.output}
    return outputs | {tensor.name for tensor in (*graph.initializer, *graph.input)}


def _renamed(graph: onnx.GraphProto, names: dict[str, str]) -> onnx.GraphProto:
    copy = onnx.GraphProto()
    copy.CopyFrom(graph)
    for node in copy.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for tensor in copy.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    return copy


def golden_vectors(model: Model, windows: dict[str, F32]) -> tuple[GoldenVector, ...]:
    """What `model` says here of each window float32 [samples], put on the 16-bit grid first."""
    vectors = []
    for name, window in windows.items():
        grid = on_grid(window)
        embedding = model.embed((grid / 32768.0).astype(np.float32)[None])
        likelihood = model.classify(embedding) if model.labels else np.zeros((1, 0), np.float32)
        packed = (pack(values) for values in (grid, embedding[0], likelihood[0]))
        vectors.append(GoldenVector(name, *packed))
    return tuple(vectors)


def steady_windows(model: Model, windows: dict[str, F32]) -> dict[str, F32]:
    """Those of `windows` on which last bits that fall otherwise elsewhere change nothing much.

    In int8 a value on the edge between two steps falls to either side. Another processor's
    front-end may give a few values another last bit, no more: it computes in float64. So golden
    vectors keep the limits of float32, and windows that could break them are left out.
    Raises EdgeAudioError if fewer than `LEAST_STEADY` are left.
    """
    rng = np.random.default_rng(11)
    found = {name: window for name, window in windows.items() if _is_steady(model, window, rng)}
    if len(found) < LEAST_STEADY:
        raise EdgeAudioError(
            f"Only {len(found)} of {len(windows)} golden vectors would hold on other machines: "
            "what this network gives in int8 hangs on the last bits of its input. Export it in "
            "float32 (--quantize none)."
        )
    return found


def _is_steady(model: Model, window: F32, rng: np.random.Generator) -> bool:
    grid = (on_grid(window) / 32768.0).astype(np.float32)[None]
    values: Any = model.network.front_end(grid).copy()
    wanted = model.network.infer(values)
    limit = Tolerance().embedding / 2 * max(float(np.linalg.norm(wanted)), 1e-12)
    for _ in range(_TRIES):
        others = values.copy()
        chosen = rng.integers(0, others.size, _LAST_BITS)
        others.flat[chosen] = np.nextafter(others.flat[chosen], others.dtype.type(np.inf))
        if not float(np.linalg.norm(model.network.infer(others) - wanted)) <= limit:
            return False
    return True


def check_match(extractor: Extractor, head: HeadFile | None, horizon: float) -> None:
    """Raise EdgeAudioError unless they go together. horizon: in seconds."""
    window = extractor.window / extractor.sample_rate
    if horizon < window:
        raise EdgeAudioError(
            f"A horizon of {horizon} s is shorter than one window of {extractor.id} ({window} s)."
        )
    if head is None:
        return
    if head.info.extractor_id != extractor.id:
        raise EdgeAudioError(
            f"This head was trained on {head.info.extractor_id!r}, not on {extractor.id!r}."
        )
    if head.dimensions != extractor.dimensions:
        raise EdgeAudioError(
            f"This head takes {head.dimensions} features, {extractor.id} gives "
            f"{extractor.dimensions}."
        )
    trained_on = extractor.float_digest or extractor.digest
    if head.info.extractor_digest != trained_on:
        raise EdgeAudioError(
            f"This head was trained on another version of {extractor.id!r} than the one at hand "
            f"({head.info.extractor_digest[:12]} against {trained_on[:12]}); train it anew."
        )


def _encode(graph: onnx.ModelProto) -> str:
    return base64.b64encode(graph.SerializeToString()).decode("ascii")


def _prove(data: bytes) -> None:
    """Load the bytes as a device would, before anybody sees them, and as any other host."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(data)
        load_model(path)
        check_golden(whole_graph_results(path), path)
