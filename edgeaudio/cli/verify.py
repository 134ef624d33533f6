"""`edgeaudio verify`: what is in a model file, and whether it holds on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeaudio.cli.parity import parity_lines

if TYPE_CHECKING:
    from edgeaudio.contract import Contract, CrossValidation, Tolerance
    from edgeaudio.model import GoldenResult


def verify(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model file (.onnx).")],
) -> None:
    """Show a model file's contract and run its golden vectors on this machine."""
    from edgeaudio.model import check_golden, golden_results, load_model, whole_graph_results

    loaded = load_model(model, self_test=False)
    typer.echo(f"{model}: {model.stat().st_size / 1e6:.1f} MB, digest holds\n")
    for name, value in _contract_lines(loaded.contract):
        typer.echo(f"  {name:14s} {value}")
    typer.echo("")
    results = golden_results(loaded, model)
    if loaded.contract.quantisation:
        for line in parity_lines(loaded.contract.quantisation):
            typer.echo(f"  {line}")
        typer.echo("")
    _print_golden(results, loaded.contract.tolerance)
    check_golden(results, model)
    check_golden(whole_graph_results(model), model)
    typer.echo("  The whole graph, as other programs run it, agrees.\n")
    typer.echo(f"{model} can be used here.")


def _contract_lines(contract: Contract) -> list[tuple[str, str]]:
    e, rate = contract.extractor, contract.extractor.sample_rate
    lines = [
        ("schema", f"version {contract.schema_version}, exported {contract.created}"),
        ("extractor", f"{e.id}, {e.dimensions} dimensions, digest {e.digest[:16]}"),
        (
            "input",
            f"{rate} Hz mono, window {e.window / rate:g} s, hop {e.hop / rate:g} s, "
            f"incomplete tail: {e.tail}",
        ),
        ("resampler", f"{e.resampler} in training"),
        ("horizon", f"{contract.horizon:g} s"),
        ("made with", _pairs(contract.versions)),
    ]
    if contract.head:
        h = contract.head
        lines += [
            ("head", f"{h.kind}, {h.normaliser} normaliser, {h.fusion} fusion"),
            ("labels", ", ".join(h.labels)),
        ]
        if h.training:
            t = h.training
            lines += [
                ("trained on", f"{_pairs(t.recordings)} recordings, {t.skipped} skipped, {t.date}"),
                ("data digest", t.dataset_digest[:16]),
            ]
            if t.cross_validation and t.cross_validation.recall:
                lines.append(("validated", validation_line(t.cross_validation)))
    if contract.levels:
        v = contract.levels
        lines.append(("levels", f"median {v.p50} dBFS RMS, 90 % in {v.p05} to {v.p95} dBFS"))
    return [*lines, ("licences", "; ".join(contract.licences) or "no weights inside")]


def validation_line(found: CrossValidation) -> str:
    """Accuracy on what a head like it was not trained on, and its weakest class."""
    weakest = min(found.recall, key=lambda label: found.recall[label])
    weak = (
        f", weakest: {weakest} {found.recall[weakest]:.0f} %" if found.recall[weakest] < 100 else ""
    )
    groups = "" if found.grouped else "; no groups were known, so it may be too good"
    return (
        f"{found.accuracy_mean:.1f} ± {found.accuracy_sd:.1f} % of recordings right in "
        f"{found.folds} folds{weak}{groups}"
    )


def _print_golden(results: tuple[GoldenResult, ...], limit: Tolerance) -> None:
    heads = (f"embedding (<= {limit.embedding:g})", f"likelihood (<= {limit.likelihood:g})")
    width = max(16, *(len(r.name) for r in results))
    typer.echo(f"  {'golden vectors':{width}s} {heads[0]:>21s} {heads[1]:>23s}")
    for r in results:
        verdict = "holds" if r.holds else "FAILS"
        typer.echo(f"  {r.name:{width}s} {r.embedding:21.2g} {r.likelihood:23.2g}   {verdict}")
    typer.echo("")


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())
