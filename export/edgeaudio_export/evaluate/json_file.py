"""`results.json`: every figure, every answer, and what they came from."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeaudio_export.evaluate.results import Summary
from edgeaudio_export.evaluate.splits import DRAWS, relative_name
from edgeaudio_export.evaluate.tasks import Outcome
from edgeaudio_export.versions import versions

if TYPE_CHECKING:
    from edgeaudio_export.evaluate.run import Evaluation

_UNREPEATABLE = ("seconds", "memory")


def results_json(found: Evaluation) -> str:
    """The same bytes from every run on the same data: without times and memory, which the
    report has.
    """
    dataset, known = found.dataset, found.request.known
    scratch = {(c.extractor, c.head) for c in found.baselines}
    recordings = [
        {
            "path": relative_name(r.path, dataset.root),
            "label": r.label,
            "group": r.group,
            "sha256": digest,
        }
        for r, digest in zip(dataset.recordings, found.digests, strict=True)
    ]
    content: dict[str, Any] = {
        "schema": 1,
        "versions": versions("scikit-learn", "soxr", "soundfile", "torch"),
        "dataset": known.id if known else None,
        "protocol": found.protocol.id,
        "hop": found.hop,
        "seeds": {"draws_a_fold": DRAWS, "heads": sorted({o.seed for o in found.outcomes})},
        "extractors": {id: e.digest for id, e in found.extractors.items()},
        "labels": dataset.labels,
        "recordings": recordings,
        "skipped": [
            {"path": relative_name(s.path, dataset.root), "reason": s.reason}
            for s in dataset.skipped
        ],
        "grouped": any(r.group for r in dataset.recordings),
        "summary": [
            {**_repeatable(s), "from_scratch": (s.extractor, s.head) in scratch}
            for s in found.summaries.values()
        ],
        "comparisons": [asdict(c) for c in found.comparisons],
        "trials": {f"{f:g}": [asdict(t) for t in trials] for f, trials in found.trials.items()},
        "outcomes": [_repeatable(o) for o in found.outcomes],
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)


def _repeatable(value: Summary | Outcome) -> dict[str, Any]:
    return {key: v for key, v in asdict(value).items() if key not in _UNREPEATABLE}
