"""What the two reports say in tables and sentences, in neither's language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeaudio_export.catalogue import CATALOGUE
from edgeaudio_export.datasets.known import missing
from edgeaudio_export.evaluate.published import PUBLISHED
from edgeaudio_export.evaluate.results import Summary
from edgeaudio_export.evaluate.splits import has_test_set, relative_name
from edgeaudio_export.evaluate.tasks import Configuration

if TYPE_CHECKING:
    from pathlib import Path

    from edgeaudio_export.evaluate.run import Evaluation

_MOST_FOLD_COLUMNS = 10
Table = tuple[list[str], list[list[str]]]
"""Heads of columns, and rows."""


@dataclass(frozen=True)
class Mistake:
    """A recording that was labelled wrongly. likelihood: of the label that was said.

    times: how often, where it was tested more than once.
    """

    path: Path
    name: str
    true: str
    said: str
    likelihood: float
    times: str


def mistake_rows(found: Iterable[Mistake]) -> Table:
    """As a table."""
    rows = [[m.name, m.true, m.said, f"{m.likelihood:.2f}", m.times] for m in found]
    return ["recording", "true", "said", "likelihood", "wrong"], rows


NO_GROUPS = (
    "No groups are known. If several recordings come from one session or machine, these figures "
    "are too good: give the manifest a column “group”."
)


def title(found: Evaluation) -> str:
    """Of the report."""
    known = found.request.known
    return f"Evaluation of {known.title if known else found.dataset.root.name}"


def figure(summary: Summary) -> str:
    """Mean and standard deviation; a single test set has none."""
    mean = f"{summary.accuracy_mean:.1f}"
    return f"{mean} ± {summary.accuracy_sd:.1f}" if len(summary.folds) > 1 else mean


def share_of(summary: Summary) -> str:
    """How much of all recordings it was trained on."""
    return f"{summary.trained_on:.0f} %"


def recall(summary: Summary, label: str) -> str:
    """In percent."""
    found = summary.recall.get(label)
    return "not tested" if found is None else f"{found:.1f}"


def extractor_name(found: Evaluation, configuration: Configuration) -> str:
    """An extractor, and whether the network behind it started from nothing."""
    scratch = " (from scratch)" if found.is_scratch(configuration) else ""
    return configuration.extractor + scratch


def facts(found: Evaluation) -> Iterator[str]:
    """Sentences on data and protocol."""
    dataset, known = found.dataset, found.request.known
    classes = ", ".join(f"{label} ({n})" for label, n in dataset.counts.items())
    yield f"{len(dataset.recordings)} recordings; {classes}."
    groups = {r.group for r in dataset.recordings if r.group}
    if groups:
        yield f"{len(groups)} groups, none of which is on both sides of a split."
    hop = "half a window" if found.hop is None else f"{found.hop:g} s"
    text = found.protocol.text.format(repeats=found.repeats)
    yield f"Protocol {found.protocol.id}. {text} Embeddings every {hop}."
    unused = {r.split for r in dataset.recordings} - {"train", "test", None}
    if has_test_set(dataset) and unused:
        count = sum(r.split in unused for r in dataset.recordings)
        names = ", ".join(sorted(filter(None, unused)))
        yield f"Not used: {count} recordings of the split {names}."
    if any(r.fold for r in dataset.recordings) and any(r.split for r in dataset.recordings):
        yield "The data set gives folds and splits; the folds were used."
    if known:
        yield f"Data: {known.citation}. Licence: {known.licence}."
        lost = missing(known, dataset)
        if lost:
            yield f"Not the whole of the published set: {'; '.join(lost)}."
    yield from (f"Note: {note}." for note in (*dataset.notes, *found.notes))


def accuracies(found: Evaluation) -> Table:
    """Every configuration, the best first."""
    names = [fold.name for fold in found.summaries[found.best].folds]
    names = names if len(names) <= _MOST_FOLD_COLUMNS else []
    rows = []
    for c in found.ranked:
        s = found.summaries[c]
        folds = [f"{fold.accuracy:.1f}" for fold in s.folds] if names else []
        cost = [f"{s.seconds:.0f} s", f"{s.memory:.0f} MB"]
        rows.append(
            [extractor_name(found, c), c.head, c.fusion, share_of(s), figure(s), *folds, *cost]
        )
    heads = ["extractor", "head", "fusion", "trained on", "accuracy"]
    return [*heads, *(f"fold {name}" for name in names), "time", "memory"], rows


ACCURACIES_SAID = (
    "Recordings right, in percent: mean and standard deviation over folds. Trained on: share of "
    "all recordings. Time: training and testing in all folds on one core, without the embeddings; "
    "memory: the most that this took."
)


def is_pretrained(extractor: str) -> bool:
    """Whether an extractor has learned anything: it has weights, or was imported."""
    entry = CATALOGUE.get(extractor.partition("@")[0])
    return entry is None or entry.definition is None


def verdict(found: Evaluation) -> str:
    """What to ship, in two sentences."""
    best = found.best
    summary = found.summaries[best]
    tested = len({i for trial in found.trials[best.train_fraction] for i in trial.test})
    spread = f"± {summary.accuracy_sd:.1f} from fold to fold, " if found.folds > 1 else ""
    said = (
        f"Trained on {share_of(summary)} of the recordings, it labelled "
        f"{summary.accuracy_mean:.1f} of 100 right that it had not heard ({spread}{tested} "
        "recordings)."
    )
    weakest = min(summary.recall, key=lambda label: summary.recall[label])
    if summary.recall[weakest] < 100:
        said += f" It is weakest on {weakest}, of which it found {summary.recall[weakest]:.0f} %."
    return said


def pretraining(found: Evaluation) -> str:
    """Whether pre-training is needed, in a sentence; empty where that was not compared."""
    share = max(c.train_fraction for c in found.summaries)
    here = [c for c in found.ranked if c.train_fraction == share]
    scratch = next((c for c in here if found.is_scratch(c)), None)
    other = next((c for c in here if is_pretrained(c.extractor)), None)
    if scratch is None or other is None:
        return ""
    own, best = found.summaries[scratch], found.summaries[other]
    return (
        f"Trained on this task alone, a small network ({scratch.extractor} + {scratch.head}) "
        f"labels {own.accuracy_mean:.1f} of 100 right; the best on a pre-trained extractor "
        f"({other.extractor} + {other.head}) {best.accuracy_mean:.1f}."
    )


def costs(found: Evaluation) -> Table:
    """What an extractor would cost a device."""
    rows = []
    for id, extractor in found.extractors.items():
        entry = CATALOGUE.get(id.partition("@")[0])
        macs = f"{1000 * entry.gigamacs_a_second:.0f}" if entry else "see extractors"
        window = extractor.window / extractor.sample_rate
        rate = f"{extractor.sample_rate / 1000:g} kHz"
        rows.append([id, f"{extractor.dimensions}", f"{window:g} s", rate, macs])
    heads = ["extractor", "dimensions", "window", "rate", "million multiplications a second"]
    return heads, rows


def published(found: Evaluation) -> Table | None:
    """Figures from papers beside ours, where the data set is one of theirs."""
    known = found.request.known
    if known is None or known.id not in PUBLISHED:
        return None
    rows = []
    for p in PUBLISHED[known.id]:
        ours = [
            c
            for c in found.ranked
            if c.extractor.startswith(p.extractor) and c.head == p.head and c.fusion == "late"
        ]
        share = max((c.train_fraction for c in ours), default=0.0)
        best = next((c for c in ours if c.train_fraction == share), None)
        mine = figure(found.summaries[best]) if best else "not tried"
        configuration = f"{best.extractor} + {best.head}" if best else f"{p.extractor} + {p.head}"
        rows.append([p.source, p.name, p.head, f"{p.accuracy:.1f}", mine, configuration])
    return ["published by", "extractor", "head", "published", "ours", "our configuration"], rows


def fusions(found: Evaluation) -> Table | None:
    """Early beside late fusion, where both were tried."""
    by_key: dict[tuple[str, str, float], dict[str, Summary]] = {}
    for c, s in found.summaries.items():
        by_key.setdefault((c.extractor, c.head, c.train_fraction), {})[c.fusion] = s
    names = list(dict.fromkeys(c.fusion for c in found.summaries))
    if len(names) < 2:
        return None
    rows = [
        [extractor, head, share_of(group[names[0]]), *(figure(group[f]) for f in names)]
        for (extractor, head, _), group in by_key.items()
        if all(f in group for f in names)
    ]
    return ["extractor", "head", "trained on", *names], rows


def differences(found: Evaluation) -> Table | None:
    """Wilcoxon's test of every pair."""
    if not found.comparisons:
        return None
    rows = [
        [c.first, c.second, f"{c.difference:+.1f}", "equal" if c.p is None else f"{c.p:.3f}"]
        for c in found.comparisons
    ]
    return ["first", "second", "first - second", "p"], rows


def differences_said(found: Evaluation) -> str:
    """How to read it."""
    least = 2 / 2**found.folds
    pairs = len(found.comparisons)
    if least > 0.05:
        return (
            "Wilcoxon's signed-rank test over folds, two-sided: how likely a difference as large "
            f"is by chance. With {found.folds} folds p can't be less than {least:.2g}: no "
            "difference can be shown at the usual 0.05. More folds or --repeats would tell more."
        )
    repeated = (
        " Repeats test the same recordings again, so that p is smaller than it should be."
        if any("/" in t.fold for trials in found.trials.values() for t in trials)
        else ""
    )
    return (
        "Wilcoxon's signed-rank test over folds, two-sided: how likely a difference as large is by "
        f"chance. With {found.folds} folds p can't be less than {least:.2g}; if the {pairs} pairs "
        f"did not differ at all, {pairs / 20:.1f} of them would still show a p under 0.05."
        + repeated
    )


def mistakes(found: Evaluation) -> list[Mistake]:
    """Of the best configuration, each recording once, the ones that it was surest of first."""
    dataset = found.dataset
    wrong: dict[int, list[tuple[str, float]]] = {}
    tested: Counter[int] = Counter()
    for outcome in found.outcomes:
        if outcome.configuration == found.best:
            for answer in outcome.answers:
                tested[answer.recording] += 1
                if answer.label != dataset.recordings[answer.recording].label:
                    said = answer.label, max(answer.likelihoods)
                    wrong.setdefault(answer.recording, []).append(said)
    listed = []
    for i, answers in wrong.items():
        recording = dataset.recordings[i]
        label, likelihood = max(answers, key=lambda answer: answer[1])
        times = f"{len(answers)} of {tested[i]}" if tested[i] > 1 else ""
        name = relative_name(recording.path, dataset.root)
        listed.append(Mistake(recording.path, name, recording.label, label, likelihood, times))
    return sorted(listed, key=lambda m: (-m.likelihood, m.name))
