"""The model file at work: load it, test it here, embed windows, classify embeddings."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeaudio import contract as contracts
from edgeaudio import wire
from edgeaudio.contract import Contract, GoldenVector, Tolerance
from edgeaudio.errors import GoldenVectorError, ModelFileError
from edgeaudio.network import Network, first_line, matrix, open_network, open_session
from edgeaudio.packing import unpack
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


class Model:
    """A model file in memory. Use `load_model` to get one."""

    def __init__(self, contract: Contract, network: Network, head: Any | None) -> None:
        self.contract = contract
        self.network = network
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
        return self.network.embed(windows)

    def classify(self, embeddings: F32) -> F32:
        """Likelihoods float32 [N, C] of `embeddings` float32 [N, D]; each row sums to 1.

        Raises ValueError for another shape, ModelFileError if the file has no head.
        """
        if self._head is None:
            raise ModelFileError(
                f"This file holds the extractor {self.contract.extractor.id!r} without a head, "
                "so it can't classify; export it with --head."
            )
        embeddings = matrix(embeddings, self.scene_embedding_size, "embeddings")
        out = np.empty((len(embeddings), len(self.labels)), np.float32)
        for i in range(len(embeddings)):
            out[i] = self._head.run(["likelihood"], {"embedding": embeddings[i : i + 1]})[0][0]
        return out

    def self_test(self) -> tuple[GoldenResult, ...]:
        """Run the golden vectors through this machine's arithmetic."""
        return tuple(self._golden(vector) for vector in self.contract.golden)

    def _golden(self, vector: GoldenVector) -> GoldenResult:
        embedding = self.embed(contracts.golden_samples(vector, self.window)[None])
        likelihood = self.classify(embedding)[0] if self._head else np.zeros(0, np.float32)
        return compare(vector, embedding[0], likelihood, self.contract.tolerance)


def compare(
    vector: GoldenVector, embedding: F32, likelihood: F32, limit: Tolerance
) -> GoldenResult:
    """What was computed, float32 [D] and [C], beside what a golden vector says."""
    wanted = unpack(vector.embedding, "float32", len(embedding))
    distance = _relative(embedding, wanted)
    wanted = unpack(vector.likelihood, "float32", len(likelihood))
    largest = float(np.max(np.abs(likelihood - wanted), initial=0.0))
    # Written so that NaN does not hold; np.max passes it on.
    holds = distance <= limit.embedding and largest <= limit.likelihood
    return GoldenResult(vector.name, distance, largest, bool(holds))


def load_model(model_file_path: str | Path, *, self_test: bool = True, threads: int = 1) -> Model:
    """Load a model file that `edgeaudio export` wrote. threads: for its network.

    What runs is the part of its graph behind the front-end, and the head apart; `verify` runs the
    whole graph as well.

    Raises ModelFileError if it is not ours, damaged or of another schema version, and
    GoldenVectorError if `self_test` finds other numbers here than at export.
    """
    path = Path(model_file_path)
    return model_from(read_sealed(path), path, self_test=self_test, threads=threads)


def model_from(data: bytes, path: Path, *, self_test: bool = True, threads: int = 1) -> Model:
    """As `load_model`, of what `seal.read_sealed` gave. path: where it came from, for messages."""
    try:
        model = open_model(data, _contract(data), threads=threads)
    except ValueError as error:
        raise ModelFileError(f"{path} can't be used: {error}.") from None
    if self_test:
        check_golden(golden_results(model, path), path)
    return model


def _contract(data: bytes) -> Contract:
    """Raises ValueError if there is none, or it is wrong."""
    meta = wire.metadata(data)
    if contracts.HEAD_KEY in meta:
        raise ValueError("it is a head file; make a model file of it with `edgeaudio export`")
    if contracts.KEY not in meta:
        raise ValueError("it carries no contract; make it with `edgeaudio export`")
    return contracts.contract_from_json(meta[contracts.KEY])


def open_model(graph: bytes, contract: Contract, *, threads: int = 1) -> Model:
    """A serialised graph at work, as its contract says. Raises ValueError where they differ."""
    extractor = contract.extractor
    sizes = (extractor.window, extractor.dimensions)
    network = open_network(graph, contract.front_end, *sizes, threads=threads)
    head = open_session(base64.b64decode(contract.head_graph)) if contract.head else None
    _check_tensors(contract, network, head)
    return Model(contract, network, head)


def whole_graph_results(path: Path) -> tuple[GoldenResult, ...]:
    """The golden vectors through the whole graph, `pcm` to `likelihood`, as another host runs it.

    Listening does without parts of the graph, so this takes more memory. Raises ModelFileError if
    the file or its graph can't be used.
    """
    data = read_sealed(path)
    try:
        contract = _contract(data)
        session = open_session(data)
        _check_whole(contract, session)
        return tuple(_whole(session, vector, contract) for vector in contract.golden)
    except Exception as error:  # ONNX Runtime's own, or ValueError
        raise ModelFileError(f"{path} can't be used: {first_line(error)}.") from None


def _whole(session: Any, vector: GoldenVector, contract: Contract) -> GoldenResult:
    samples = contracts.golden_samples(vector, contract.extractor.window)
    found = [values[0] for values in session.run(None, {"pcm": samples[None]})]
    likelihood = found[1] if contract.head else np.zeros(0, np.float32)
    return compare(vector, found[0], likelihood, contract.tolerance)


def golden_results(model: Model, path: Path) -> tuple[GoldenResult, ...]:
    """`model.self_test()`; raises ModelFileError, naming the file, where it can't even be run."""
    try:
        return model.self_test()
    except Exception as error:  # ONNX Runtime's own, or ValueError for a damaged golden vector
        raise ModelFileError(f"{path} can't be used: {first_line(error)}.") from None


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


def _check_tensors(contract: Contract, network: Network, head: Any | None) -> None:
    """Raise ValueError unless what runs here takes and gives what the contract speaks of."""
    d, c = contract.extractor.dimensions, len(contract.labels)
    _check_shapes({"embedding": d}, [t for t in network.tensors if t.name == "embedding"])
    if head:
        tensors = (*head.get_inputs(), *head.get_outputs())
        _check_shapes({"embedding": d, "likelihood": c}, tensors)


def _check_whole(contract: Contract, session: Any) -> None:
    extractor = contract.extractor
    wanted = {"pcm": extractor.window, "embedding": extractor.dimensions}
    if contract.head:
        wanted["likelihood"] = len(contract.labels)
    _check_shapes(wanted, (*session.get_inputs(), *session.get_outputs()))


def _check_shapes(wanted: dict[str, int], tensors: Sequence[Any]) -> None:
    found = {t.name: t.shape[-1] if len(t.shape) == 2 else t.shape for t in tensors}
    types = {t.type for t in tensors}
    if found != wanted or types != {"tensor(float)"}:
        raise ValueError(
            f"its graph has {found} of {', '.join(sorted(types))}, "
            f"its contract speaks of {wanted} of tensor(float)"
        )


def _relative(found: F32, wanted: F32) -> float:
    norm = float(np.linalg.norm(wanted.astype(np.float64)))
    return float(np.linalg.norm(found.astype(np.float64) - wanted)) / max(norm, 1e-12)
