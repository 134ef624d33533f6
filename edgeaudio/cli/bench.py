"""`edgeaudio bench`: what a model costs on this machine, and whether the machine can run it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeaudio.cli.common import HopOption, JsonOption, print_table, seconds_option
from edgeaudio.errors import EdgeAudioError

MOST_HOP = 60.0
"""Seconds; `listen` in real time is measured over two hops."""

if TYPE_CHECKING:
    from edgeaudio.bench.report import Bench, Percentiles


def bench(
    model: Annotated[
        list[Path],
        typer.Option("--model", "-m", help="Model file (.onnx); several are compared."),
    ],
    hop: HopOption = None,
    seconds: Annotated[
        float, seconds_option("How long to measure each part of it.", 1, 3600)
    ] = 10.0,
    threads: Annotated[int, typer.Option(help="Threads for the network.", min=1, max=256)] = 1,
    streams: Annotated[
        int | None, typer.Option(help="Also try so many streams at once.", min=1, max=1000)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a model on this machine: time, memory, latency, heat; and say whether it fits.

    Of several models of the same classes, the last line names the one to run: the one that has the
    most time to spare (with --json, "run": true).
    """
    from edgeaudio.bench.report import better_of
    from edgeaudio.seal import read_sealed

    for path in model:  # all of them, before the first is measured
        read_sealed(path)
    found = [_measure(path, hop, seconds, threads, streams) for path in model]
    best = better_of(found) if len(found) > 1 else None
    if as_json:
        for result in found:
            line = record(result) | ({"run": result is best} if len(found) > 1 else {})
            typer.echo(json.dumps(line, ensure_ascii=False))
        return
    _print(found)
    for result in found:
        typer.echo(result.verdict)
    if best:
        typer.echo(f"Run {best.model}: it has the most time to spare here.")
    elif len(found) > 1:
        typer.echo(
            "None is to be preferred: none fits, they differ by little, or in their classes."
        )


def _measure(
    path: Path, hop: float | None, seconds: float, threads: int, streams: int | None
) -> Bench:
    from edgeaudio.bench.live import measure_live
    from edgeaudio.bench.machine import MachineWatch
    from edgeaudio.bench.report import Bench
    from edgeaudio.bench.stages import measure_stages, measure_streams
    from edgeaudio.model import load_model
    from edgeaudio.pipeline import window_spec

    if hop is not None and hop > MOST_HOP:
        raise EdgeAudioError(f"bench measures hops of up to {MOST_HOP:g} s, not {hop:g} s.")
    watch = MachineWatch()
    loaded = load_model(path, threads=threads)
    spec = window_spec(loaded, hop)
    stages = measure_stages(loaded, hop, seconds)
    watch.look()
    return Bench(
        model=str(path),
        labels=loaded.labels,
        extractor=loaded.contract.extractor.id,
        arithmetic=loaded.contract.arithmetic,
        window_s=spec.window / spec.sample_rate,
        hop_s=spec.hop / spec.sample_rate,
        threads=threads,
        stages=stages,
        live=measure_live(path, spec, seconds, threads) if loaded.labels else None,
        streams=measure_streams(loaded, hop, streams, seconds) if streams else None,
        machine=watch.result(),
    )


def record(found: Bench) -> dict[str, Any]:
    """For machines: times of stages in milliseconds with p50, p95, p99."""
    stages, live = asdict(found.stages), asdict(found.live) if found.live else {}
    return {
        "model": found.model,
        "extractor": found.extractor,
        "arithmetic": found.arithmetic,
        "window_s": found.window_s,
        "hop_s": found.hop_s,
        "threads": found.threads,
        "windows": stages["windows"],
        **{name: stages[name] for name in ("frontend_ms", "network_ms", "head_ms", "pipeline_ms")},
        "resampling_ms": stages["resampling_ms"],
        "rtf": round(found.rtf, 6),
        "core_share": round(found.core_share, 6),
        "streams_per_core": found.streams_per_core,
        "start_s": live.get("start_s"),
        "decisions": live.get("decisions"),
        "latency_ms": live.get("latency_ms"),
        "cpu_percent": live.get("cpu_percent"),
        "rss_mb": live.get("rss_mb"),
        "streams": asdict(found.streams) if found.streams else None,
        "machine": asdict(found.machine),
        "fits": found.fits,
        "smallest_hop_s": round(found.smallest_hop, 4),
        "verdict": found.verdict,
    }


def _print(found: list[Bench]) -> None:
    from rich.table import Table

    table = Table()
    table.add_column("")
    for result in found:
        table.add_column(Path(result.model).name, justify="right")
    for cells in zip(*map(_rows, found), strict=True):
        table.add_row(cells[0][0], *(value for _, value in cells))
    print_table(table)
    typer.echo(
        "*  median, 95th and 99th percentile. Resampling is of sound at 48 kHz, a hop of it.\n"
        "   From processor on: `edgeaudio listen` in a process of its own, in real time.\n"
        "** from its start to the first decision, beyond the window that this needs.\n"
    )


def _rows(found: Bench) -> list[tuple[str, str]]:
    stages, live, machine = found.stages, found.live, found.machine
    rows = [
        ("extractor", f"{found.extractor}, {found.arithmetic}"),
        ("window, hop", f"{found.window_s:g} s, {found.hop_s:g} s"),
        ("front-end, ms*", _times(stages.frontend_ms)),
        ("network, ms*", _times(stages.network_ms)),
        ("head, ms*", _times(stages.head_ms)),
        ("whole pipeline, ms*", _times(stages.pipeline_ms)),
        ("resampling, ms", _number(stages.resampling_ms, "{:.2f}", "none")),
        ("real-time factor", f"{found.rtf:.4f}"),
        ("streams on a core", str(found.streams_per_core)),
        ("processor, % of a core", _number(live.cpu_percent, "{:.1f}") if live else "-"),
        ("resident memory, MB", _number(live.rss_mb, "{:.0f}") if live else "-"),
        ("first decision, s**", _number(live.start_s, "{:.2f}") if live else "-"),
        ("sample to decision, ms*", _times(live.latency_ms if live else None)),
        ("temperature, °C", _number(machine.temperature_c, "{:.0f}")),
        ("clock, % of highest", _number(machine.clock_percent, "{:.0f}")),
        ("throttled", {None: "not told", True: "YES", False: "no"}[machine.throttled]),
    ]
    if found.streams:
        streams = found.streams
        text = f"{streams.core_percent:.0f} % of a core" + ("" if streams.fits else ": too many")
        rows.append((f"{streams.count} streams at once", text))
    return rows


def _times(found: Percentiles | None) -> str:
    return f"{found.p50:.2f}  {found.p95:.2f}  {found.p99:.2f}" if found else "-"


def _number(value: float | None, form: str, without: str = "not told") -> str:
    return without if value is None else form.format(value)
