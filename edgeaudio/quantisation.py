"""What a model file says of its network in int8: how it was made, what it lost and gained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Percent of recordings labelled right by heads that were not trained on them.

    head: the kind that was trained, on float32 embeddings, once a fold. mean: over `folds` folds.
    recall: by label.
    """

    head: str
    folds: int
    before: float
    after: float
    recall_before: dict[str, float]
    recall_after: dict[str, float]


@dataclass(frozen=True, slots=True)
class Cost:
    """bytes: of the graph, front-end included. milliseconds: a window, median, without it.

    megabytes: at work, with it; None where the system does not tell.
    """

    bytes: int
    milliseconds: float
    megabytes: float | None


@dataclass(frozen=True, slots=True)
class Parity:
    """A network in int8 beside the one in float32, on the recordings that calibrated it.

    centred_cosine: mean over windows of the cosine between embeddings, each less the mean float32
    embedding. windows_agree, recordings_agree: percent with the same label by the head of the
    file; likelihood_change: the largest of a window. None without a head. accuracy: None where no
    data can be held out, and why not in `no_accuracy`. machine: where the costs were measured.
    """

    recordings: int
    windows: int
    centred_cosine: float
    windows_agree: float | None
    recordings_agree: float | None
    likelihood_change: float | None
    accuracy: Accuracy | None
    before: Cost
    after: Cost
    machine: str
    no_accuracy: str = ""


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How a network came to int8. target: the kind of processor it is for.

    float_digest: of the extractor in float32, on which the head was trained. method: of
    calibration. float_layers: those left in float32. operators: how many of each run in int8.
    """

    target: str
    float_digest: str
    method: str
    float_layers: tuple[str, ...]
    operators: dict[str, int]
    parity: Parity
