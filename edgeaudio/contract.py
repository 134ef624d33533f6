"""The contract: what a model file says about itself, as JSON in its metadata.

Read by the runtime, written by the export stage. Sizes are in samples at the model's rate,
levels in dBFS (0 dBFS = a full-scale sine has peak 1), arrays as `packing` writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgeaudio import codec
from edgeaudio.packing import unpack
from edgeaudio.quantisation import Parity, Quantisation
from edgeaudio.spectrogram import SpectrogramSpec
from edgeaudio.types import F32, RESERVED_LABELS, FusionName, Tail, WindowSpec

KEY = "edgeaudio.contract"
HEAD_KEY = "edgeaudio.head"
SCHEMA_VERSION = 1
DEFAULT_HORIZON = 5.0  # seconds

_MAX_TOLERANCE = 0.1
_MAX_HORIZON = 86_400.0  # seconds
_MAX_LABEL = 200


@dataclass(frozen=True, slots=True)
class ExtractorInfo:
    """Window to embedding. `digest`: SHA-256 of its weights, or of its definition.

    `resampler`: the one that the training data went through, with its version.
    """

    id: str
    digest: str
    dimensions: int
    sample_rate: int
    window: int
    hop: int
    tail: Tail
    resampler: str


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """How many recordings a head like this one labels right that it was not trained on.

    accuracy_mean, accuracy_sd: percent of recordings, over the folds. recall: percent by label.
    grouped: whether it was known which recordings belong together; if not, the figures may be
    too good.
    """

    accuracy_mean: float
    accuracy_sd: float
    folds: int
    recall: dict[str, float]
    grouped: bool


@dataclass(frozen=True, slots=True)
class Training:
    """What a head was trained on. `recordings` and `windows` count by label.

    cross_validation: with the same settings, on the same data; None where there was too little.
    """

    dataset_digest: str
    recordings: dict[str, int]
    windows: dict[str, int]
    skipped: int
    date: str
    versions: dict[str, str]
    cross_validation: CrossValidation | None = None


@dataclass(frozen=True, slots=True)
class HeadInfo:
    """Embedding to likelihoods. `fusion`: how windows become one decision."""

    kind: str
    normaliser: str
    labels: tuple[str, ...]
    fusion: FusionName
    extractor_id: str
    extractor_digest: str
    training: Training | None = None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class Levels:
    """RMS level of the calibration windows in dBFS: percentiles over `windows` windows."""

    windows: int
    p05: float
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class GoldenVector:
    """A window with what the model said of it at export.

    samples: packed int16 [window], to be divided by 32768.
    embedding, likelihood: packed float32 [D] and [C].
    """

    name: str
    samples: str
    embedding: str
    likelihood: str


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How closely golden vectors must hold.

    embedding: relative L2 distance. likelihood: largest absolute difference.
    """

    embedding: float = 1e-4
    likelihood: float = 1e-3


@dataclass(frozen=True, slots=True)
class Contract:
    """Everything but the graph. `head_graph`: base64 of the ONNX graph embedding -> likelihood.

    horizon: seconds that one live decision covers, unless the user says otherwise.
    A file without a head is an extractor on its own. front_end: how its graph makes a spectrogram
    of samples, for those who compute it outside; None if it does not.
    """

    schema_version: int
    created: str
    extractor: ExtractorInfo
    head: HeadInfo | None
    head_graph: str
    horizon: float
    licences: tuple[str, ...]
    versions: dict[str, str]
    golden: tuple[GoldenVector, ...]
    tolerance: Tolerance = field(default_factory=Tolerance)
    levels: Levels | None = None
    front_end: SpectrogramSpec | None = None
    quantisation: Quantisation | None = None

    @property
    def arithmetic(self) -> str:
        """Of the network: float32 or int8."""
        return "int8" if self.quantisation else "float32"

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the likelihoods; empty without a head."""
        return self.head.labels if self.head else ()

    @property
    def window_spec(self) -> WindowSpec:
        """How sound is cut for this model."""
        e = self.extractor
        return WindowSpec(e.sample_rate, e.window, e.hop, e.tail)


def to_json(contract: Contract | HeadInfo) -> str:
    """The text that goes into the metadata."""
    return codec.dumps(contract)


def contract_from_json(text: str) -> Contract:
    """Read and check a contract. Raises ValueError with the field that is wrong.

    Another schema version is reported as such before anything else is looked at.
    """
    _check_version(text, "contract")
    contract = codec.loads(Contract, text, "contract")
    _check_ranges(contract)
    if contract.head:
        check_labels(contract.head.labels)
    if not contract.golden:
        raise ValueError("contract.golden is empty")
    return contract


def head_from_json(text: str) -> HeadInfo:
    """Read and check what a head file says about itself. Raises ValueError."""
    _check_version(text, "head")
    head = codec.loads(HeadInfo, text, "head")
    check_labels(head.labels)
    return head


def check_labels(labels: tuple[str, ...]) -> None:
    """Raise ValueError unless `labels` can tell classes apart for a person and a machine."""
    folded: dict[str, str] = {}
    for label in labels:
        if not label.strip():
            raise ValueError("a label is empty")
        if not label.isprintable() or len(label) > _MAX_LABEL:
            raise ValueError(
                f"the label {ascii(label)[:80]} can't be shown: a label is up to {_MAX_LABEL} "
                "printable characters"
            )
        if label in RESERVED_LABELS:
            raise ValueError(f"the label {label!r} is reserved for decisions about the input")
        other = folded.setdefault(label.strip().casefold(), label)
        if labels.count(label) > 1 or other != label:
            raise ValueError(f"the labels {other!r} and {label!r} differ in case or spaces only")
    if len(labels) < 2:
        raise ValueError(f"at least two labels are needed, found {list(labels)}")


@dataclass(frozen=True, slots=True)
class _Version:
    schema_version: int


def _check_version(text: str, name: str) -> None:
    version = codec.loads(_Version, text, name).schema_version
    if version != SCHEMA_VERSION:
        anew = "export the model anew" if name == "contract" else "train the head anew"
        raise ValueError(
            f"it has schema version {version}, this edgeaudio reads {SCHEMA_VERSION}; "
            + ("update edgeaudio" if version > SCHEMA_VERSION else anew)
        )


def _check_ranges(contract: Contract) -> None:
    """Raise ValueError for a number that no export writes; what reads the contract relies on it."""
    extractor, tolerance = contract.extractor, contract.tolerance
    for name, value, low, high in (
        ("extractor.sample_rate", extractor.sample_rate, 1000, 768_000),
        ("extractor.window", extractor.window, 1, 60 * 768_000),
        ("extractor.hop", extractor.hop, 1, 60 * 768_000),
        ("extractor.dimensions", extractor.dimensions, 1, 1_000_000),
        ("tolerance.embedding", tolerance.embedding, 0, _MAX_TOLERANCE),
        ("tolerance.likelihood", tolerance.likelihood, 0, _MAX_TOLERANCE),
    ):
        if not low <= value <= high:
            raise ValueError(f"contract.{name} is {value}, outside {low}..{high}")
    if contract.quantisation:
        _check_parity(contract.quantisation.parity)
    window = extractor.window / extractor.sample_rate
    if not window <= contract.horizon <= _MAX_HORIZON:
        raise ValueError(
            f"contract.horizon is {contract.horizon}, outside {window}..{_MAX_HORIZON} seconds"
        )


def _check_parity(parity: Parity) -> None:
    if not (parity.before.milliseconds > 0 and parity.after.milliseconds > 0):
        raise ValueError("contract.quantisation.parity has a network that takes no time")
    accuracy = parity.accuracy
    if accuracy and set(accuracy.recall_before) != set(accuracy.recall_after):
        raise ValueError("contract.quantisation.parity.accuracy is of other labels after")


def golden_samples(vector: GoldenVector, window: int) -> F32:
    """Samples of a golden vector, float32 [window]."""
    return (unpack(vector.samples, "int16", window) / 32768.0).astype(np.float32)
