"""A request, with all that it leaves open decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from edgeaudio.errors import EdgeAudioError, MissingExtraError
from edgeaudio.types import FusionName
from edgeaudio_export.datasets.known import KnownSet
from edgeaudio_export.evaluate.protocols import PROTOCOLS, Protocol
from edgeaudio_export.evaluate.tasks import Configuration
from edgeaudio_export.extractors import Extractor, get_extractor
from edgeaudio_export.heads.kinds import check_head, goes_with

BASELINES: Mapping[str, tuple[str, str]] = {
    "cnn": ("logmel", "cnn"),
    "dense": ("logmel-stats", "d128"),
}
"""Networks that are trained from scratch: extractor, which learned nothing, and head."""


@dataclass(frozen=True)
class Request:
    """What to compare on which data. What is None is as the protocol has it.

    known: the published data set that `data` is. baselines: of `BASELINES`; None for all where
    torch is installed. hop: in seconds. audio: the page holds what was labelled wrongly.
    """

    data: Path
    extractors: tuple[str, ...]
    heads: tuple[str, ...] | None = None
    fusions: tuple[FusionName, ...] | None = None
    train_fractions: tuple[float, ...] | None = None
    known: KnownSet | None = None
    protocol: str = "folds"
    repeats: int | None = None
    baselines: tuple[str, ...] | None = None
    hop: float | None = None
    audio: bool = True


@dataclass(frozen=True)
class Plan:
    """What is tried. hop: in seconds, None for half a window. notes: for the reader."""

    protocol: Protocol
    grid: tuple[Configuration, ...]
    baselines: tuple[Configuration, ...]
    extractors: Mapping[str, Extractor]
    fractions: tuple[float, ...]
    repeats: int
    hop: float | None
    notes: tuple[str, ...] = field(default=())

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        """The grid, and the baselines that are not in it."""
        return tuple(dict.fromkeys((*self.grid, *self.baselines)))


def make_plan(request: Request) -> Plan:
    """Raises EdgeAudioError for what there is not, or MissingWeightsError."""
    if request.protocol not in PROTOCOLS:
        known = ", ".join(PROTOCOLS)
        raise EdgeAudioError(f"There is no protocol {request.protocol!r}; there are: {known}.")
    protocol = PROTOCOLS[request.protocol]
    heads = request.heads or protocol.heads
    for head in heads:
        check_head(head)
    asked = request.train_fractions or protocol.fractions
    fractions = tuple(dict.fromkeys(round(fraction, 4) for fraction in asked))
    _check_fractions(fractions)
    repeats = request.repeats or protocol.repeats
    extractors = {e.id: e for e in map(get_extractor, request.extractors)}
    fusions = request.fusions or protocol.fusions
    pairs = [(e, h) for e, h in product(extractors, heads) if goes_with(h, e)]
    for head in heads:
        if head not in {h for _, h in pairs}:
            check_head(head, next(iter(extractors)))
    grid = tuple(
        Configuration(e, h, fusion, fraction)
        for (e, h), fusion, fraction in product(pairs, fusions, fractions)
    )
    names, notes = _baselines(request.baselines)
    scratch = [BASELINES[name] for name in names]
    extractors |= {e: get_extractor(e) for e, _ in scratch if e not in extractors}
    baselines = tuple(
        Configuration(e, h, "late", fraction) for (e, h), fraction in product(scratch, fractions)
    )
    hop = protocol.hop if request.hop is None else request.hop
    return Plan(protocol, grid, baselines, extractors, fractions, repeats, hop, notes)


def _baselines(asked: tuple[str, ...] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which to train from scratch, and what to say of those that can't be."""
    names = tuple(BASELINES) if asked is None else asked
    unknown = [name for name in names if name not in BASELINES]
    if unknown:
        known = ", ".join(BASELINES)
        raise EdgeAudioError(f"There is no baseline {unknown[0]!r}; there is: {known}.")
    try:
        for name in names:
            check_head(BASELINES[name][1])
    except MissingExtraError as error:
        if asked is not None:
            raise
        return (), (f"nothing was trained from scratch to compare with ({error})",)
    return names, ()


def _check_fractions(fractions: Sequence[float]) -> None:
    for fraction in fractions:
        if not 0 < fraction < 1:
            raise EdgeAudioError(
                f"A training share of {fraction:g} can't be used; give shares of all recordings "
                "between 0 and 1, as 0.8,0.1."
            )
