"""OpenL3's mel spectrogram: ours against librosa's, one window of a second, on one core.

    .venv/bin/python benchmarks/frontends_librosa.py [--bands 256] [--rounds 60]

Ours is the front-end `librosa` (centred, Slaney's scale), so that both compute the same: in
numpy, as a model file is run, and as the file's graph in ONNX Runtime. librosa has a virtual
environment of its own, made on the first run. It is measured as openl3 calls it, with samples in
float64 and a filter bank that is made for each window; in float32; and in float32 with the filter
bank kept. In each round every row does one window, in rotating order. Linux only.

The table: time as a multiple of ours in numpy, median over the rounds of the ratio within a round,
and the middle half of these; median time, for orientation; largest and mean difference from ours
in numpy, in dB.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from peer import environments, sounds, workers
from peer.environments import UnavailableError
from peer.workers import Row, Worker

from edgeaudio_export.frontends import openl3

WINDOWS = 12
OURS = {"edgeaudio, numpy": "numpy", "edgeaudio, graph": "graph"}
THEIRS = {
    "librosa, as openl3 calls it": "float64",
    "librosa, float32": "float32",
    "librosa, float32, filter bank kept": "bank-kept",
}


def rows_of(worker: Worker, ways: dict[str, str]) -> list[Row]:
    return [Row(name, worker, way, worker.compute(way), []) for name, way in ways.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bands", type=int, choices=(128, 256), default=256)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--core", type=int, help="the one to work on; the last one otherwise")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        job = {"bands": options.bands, "sample_rate": openl3.SAMPLE_RATE}
        pcm = sounds.windows(None, 0, WINDOWS, openl3.WINDOW, openl3.SAMPLE_RATE)
        workers.write_job(folder, job, pcm=pcm)
        try:
            python = environments.python_of("librosa")
            workers.one_core(options.core)
            rows: list[Row] = []
            for interpreter, script, ways in (
                (sys.executable, "with_frontend.py", OURS),
                (python, "with_librosa.py", THEIRS),
            ):
                worker = Worker(interpreter, script, folder)
                stack.callback(worker.stop)
                rows += rows_of(worker, ways)
        except UnavailableError as reason:
            sys.exit(f"librosa: {reason}")
        workers.alternate(rows, options.rounds)
    print("| | time | middle half | ms | largest difference | mean difference |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        apart = np.abs(row.found - rows[0].found)
        print(
            f"| {row.name} ({row.worker.versions}) | {workers.ratios(row, rows[0])} "
            f"| {1e3 * statistics.median(row.seconds):.1f} "
            f"| {apart.max():.1g} dB | {apart.mean():.1g} dB |"
        )


if __name__ == "__main__":
    main()
