"""The model file at work: load it, test it here, embed windows, classify embeddings."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Before the import: some builds of ONNX Runtime would otherwise write usage data into the home
# folder and send it. What a machine sounds like, and that it is being listened to, stays here.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

from edgeaudio import contract as contracts
from edgeaudio.contract import Contract, GoldenVector
from edgeaudio.errors import GoldenVectorError, ModelFileError
from edgeaudio.seal import read_sealed
from edgeaudio.types import F32


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """How far this machine is from the machine of the export, for one golden vector.

    embedding: relative L2 distance. likelihood: largest absolute difference.
    """

    name: str
    embedding: float
    likelihood: float
    holds: bool


class Network:
    """The graph `pcm` -> `embedding` at work: the extractor, whether or not a head follows.

    Each window goes through on its own, so that an embedding never depends on what else was
    in the batch, nor offline differs from live.
    """

    def __init__(self, session: Any, window: int, dimensions: int) -> None:
        self.session = session
        self.window = window
        self.dimensions = dimensions

    def embed(self, windows: F32) -> F32:
        """Embeddings float32 [N, D] of `windows` float32 [N, window] in [-1, 1].

        Raises ValueError for another shape.
        """
        windows = _matrix(windows, self.window, "windows")
        out = np.empty((len(windows), self.dimensions), np.float32)
        for i in range(len(windows)):
            out[i] = self.session.run(["embedding"], {"pcm": windows[i : i + 1]})[0][0]
        return out


class Model:
    """A model file in memory. Use `load_model` to get one."""

    def __init__(self, contract: Contract, network: Network, head: Any | None) -> None:
        self.contract = contract
        self._network = network
        self._head = head

    @property
    def sample_rate(self) -> int:
        """Of the samples that `embed` takes, in Hz."""
        return self.contract.extractor.sample_rate

    @property
    def window(self) -> int:
        """Samples in a window."""
        return self.contract.extractor.window

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the likelihoods; empty for an extractor on its own."""
        return self.contract.labels

    @property
    def scene_embedding_size(self) -> int:
        """D, under the name that the HEAR convention gives it."""
        return self.contract.extractor.dimensions

    timestamp_embedding_size = scene_embedding_size

    def embed(self, windows: F32) -> F32:
        """Embeddings float32 [N, D] of `windows` float32 [N, window] in [-1, 1].

        Raises ValueError for another shape.
        """
        return self._network.embed(windows)

    def classify(self, embeddings: F32) -> F32:
        """Likelihoods float32 [N, C] of `embeddings` float32 [N, D]; each row sums to 1.

        Raises ValueError for another shape, ModelFileError if the file has no head.
        """
        if self._head is None:
            raise ModelFileError(
                f"This file holds the extractor {self.contract.extractor.id!r} without a head, "
                "so it can't classify; export it with --head."
            )
        embeddings = _matrix(embeddings, self.scene_embedding_size, "embeddings")
        out = np.empty((len(embeddings), len(self.labels)), np.float32)
        for i in range(len(embeddings)):
            out[i] = self._head.run(["likelihood"], {"embedding": embeddings[i : i + 1]})[0][0]
        return out

    def self_test(self) -> tuple[GoldenResult, ...]:
        """Run the golden vectors through this machine's arithmetic."""
        return tuple(self._golden(vector) for vector in self.contract.golden)

    def _golden(self, vector: GoldenVector) -> GoldenResult:
        samples = contracts.golden_samples(vector, self.window)[None]
        outputs = ["embedding"] + (["likelihood"] if self._head else [])
        whole = self._network.session.run(outputs, {"pcm": samples})
        wanted = contracts.unpack(vector.embedding, "float32", self.scene_embedding_size)
        embedding = _relative(whole[0][0], wanted)
        likelihood = 0.0
        if self._head:
            wanted = contracts.unpack(vector.likelihood, "float32", len(self.labels))
            # Both ways to the likelihood must agree: the whole graph and the head on its own.
            apart = self.classify(self.embed(samples))[0]
            likelihood = float(np.max(np.abs([whole[1][0] - wanted, apart - wanted])))
        limit = self.contract.tolerance
        # Written so that NaN does not hold; np.max passes it on.
        holds = embedding <= limit.embedding and likelihood <= limit.likelihood
        return GoldenResult(vector.name, embedding, likelihood, bool(holds))


def load_model(model_file_path: str | Path, *, self_test: bool = True) -> Model:
    """Load a model file that `edgeaudio export` wrote.

    Raises ModelFileError if it is not ours, damaged or of another schema version, and
    GoldenVectorError if `self_test` finds other numbers here than at export.
    """
    path = Path(model_file_path)
    data = read_sealed(path)
    try:
        model = _open(data)
    except ValueError as error:
        raise ModelFileError(f"{path} can't be used: {error}.") from None
    if self_test:
        check_golden(golden_results(model, path), path)
    return model


def _open(data: bytes) -> Model:
    """Raises ValueError for whatever is wrong inside the file."""
    session = open_session(data)
    meta = session.get_modelmeta().custom_metadata_map
    if contracts.HEAD_KEY in meta:
        raise ValueError("it is a head file; make a model file of it with `edgeaudio export`")
    if contracts.KEY not in meta:
        raise ValueError("it carries no contract; make it with `edgeaudio export`")
    contract = contracts.contract_from_json(meta[contracts.KEY])
    head = open_session(base64.b64decode(contract.head_graph)) if contract.head else None
    _check_tensors(contract, session, head)
    network = Network(session, contract.extractor.window, contract.extractor.dimensions)
    return Model(contract, network, head)


def golden_results(model: Model, path: Path) -> tuple[GoldenResult, ...]:
    """`model.self_test()`; raises ModelFileError, naming the file, where it can't even be run."""
    try:
        return model.self_test()
    except Exception as error:  # ONNX Runtime's own, or ValueError for a damaged golden vector
        raise ModelFileError(f"{path} can't be used: {_first_line(error)}.") from None


def check_golden(results: tuple[GoldenResult, ...], path: Path) -> None:
    """Raise GoldenVectorError unless every result holds."""
    failed = [r for r in results if not r.holds]
    if failed:
        # NaN counts as the worst.
        worst = max(failed, key=lambda r: float(np.nan_to_num(r.embedding + r.likelihood, nan=9e9)))
        raise GoldenVectorError(
            f"{path} does not compute here what it computed where it was exported: "
            f"{len(failed)} of {len(results)} golden vectors fail, {worst.name!r} by "
            f"{worst.embedding:.2g} in the embedding and {worst.likelihood:.2g} in a likelihood. "
            "Export it anew for this kind of processor, or update onnxruntime."
        )


def open_session(source: bytes, *, threads: int = 1) -> Any:
    """An ONNX Runtime session as a small device wants it: one thread, no spinning, no arena.

    source: the serialised graph, which must be complete: data in other files is not looked for.
    Raises ValueError if ONNX Runtime refuses it.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", "/nonexistent"
    )
    try:
        session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a dozen classes without a common root
        raise ValueError(f"its graph can't be run here ({_first_line(error)})") from None
    if hasattr(session, "_model_bytes"):
        session._model_bytes = None  # kept for a fallback that we do not use; a network is large
    return session


def _check_tensors(contract: Contract, network: Any, head: Any | None) -> None:
    """Raise ValueError unless the graphs take and give what the contract speaks of."""
    d, c = contract.extractor.dimensions, len(contract.labels)
    wanted = {"pcm": contract.extractor.window, "embedding": d}
    sessions = [("", network)]
    if head:
        wanted |= {"likelihood": c, "head embedding": d, "head likelihood": c}
        sessions.append(("head ", head))
    tensors = [
        (prefix + tensor.name, tensor)
        for prefix, session in sessions
        for tensor in (*session.get_inputs(), *session.get_outputs())
    ]
    found = {name: t.shape[-1] if len(t.shape) == 2 else t.shape for name, t in tensors}
    types = {t.type for _, t in tensors}
    if found != wanted or types != {"tensor(float)"}:
        raise ValueError(
            f"its graph has {found} of {', '.join(sorted(types))}, "
            f"its contract speaks of {wanted} of tensor(float)"
        )


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0][:200].rstrip(".")


def _matrix(array: Any, width: int, name: str) -> F32:
    matrix: F32 = np.ascontiguousarray(array, dtype=np.float32)
    if matrix.ndim != 2 or matrix.shape[1] != width:
        raise ValueError(f"{name} must have the shape [N, {width}], not {list(matrix.shape)}")
    return matrix


def _relative(found: F32, wanted: F32) -> float:
    norm = float(np.linalg.norm(wanted.astype(np.float64)))
    return float(np.linalg.norm(found.astype(np.float64) - wanted)) / max(norm, 1e-12)
