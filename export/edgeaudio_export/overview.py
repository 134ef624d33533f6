"""The catalogue as a table: what each extractor costs, and whether its weights are here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgeaudio_export import foreign
from edgeaudio_export.catalogue import CATALOGUE, Entry
from edgeaudio_export.costs import gigamacs, parameters
from edgeaudio_export.weights import registry, store
from edgeaudio_export.weights.importers import get_importer


@dataclass(frozen=True)
class Line:
    """One extractor with its default options.

    parameters: values in the weights, statistics of batch normalisation included where they are
    not folded. gigamacs_a_second: multiplications in 1e9 for a second of sound, without overlap.
    weights: `no need`, `here`, `missing` or `damaged`.
    """

    id: str
    sample_rate: int
    window_seconds: float
    dimensions: int
    parameters: int
    gigamacs_a_second: float
    options: Mapping[str, tuple[str, ...]]
    licence: str
    weights: str

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def overview() -> list[Line]:
    """A line for each entry of the catalogue, in its order, then for each that was imported."""
    here = store.present()
    lines = [_line(entry, here) for entry in CATALOGUE.values()]
    return lines + [_imported(name) for name, facts in foreign.present().items() if facts]


def _line(entry: Entry, here: Mapping[str, Any]) -> Line:
    default = {group: values[0] for group, values in entry.options.items()}
    needed = entry.weights(default)
    damaged = [name for name in needed if name in here and here[name] is None]
    missing = [name for name in needed if name not in here]
    licences = dict.fromkeys(registry.get(name).licence for name in needed)
    return Line(
        id=entry.id,
        sample_rate=entry.sample_rate,
        window_seconds=entry.window / entry.sample_rate,
        dimensions=entry.dimensions(default),
        parameters=sum(_values(name) for name in needed),
        gigamacs_a_second=round(entry.gigamacs_a_second, 3),
        options=dict(entry.options),
        licence=", ".join(licences) or "Apache-2.0",
        weights=_state(bool(needed), bool(missing), bool(damaged)),
    )


def _state(needed: bool, missing: bool, damaged: bool) -> str:
    if not needed:
        return "no need"
    return "damaged" if damaged else "missing" if missing else "here"


def _imported(name: str) -> Line:
    found = foreign.load(name)
    cost = gigamacs(found.model) * found.sample_rate / found.window
    return Line(
        id=name,
        sample_rate=found.sample_rate,
        window_seconds=found.window / found.sample_rate,
        dimensions=found.dimensions,
        parameters=parameters(found.model),
        gigamacs_a_second=round(cost, 3),
        options={},
        licence=found.licence or "not given",
        weights="here",
    )


def _values(name: str) -> int:
    """How many numbers the weights called `name` consist of."""
    layout = get_importer(registry.get(name).importer).layout
    return sum(math.prod(shape) for shape in layout.values())
