"""Workers as the parent sees them: started one by one, asked in turns, all on one core."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peer.environments import UnavailableError

SCRIPTS = Path(__file__).parent
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Worker:
    """A process that has loaded what it measures, and waits; see protocol.py.

    Raises UnavailableError, here and later, where it ends of itself.
    """

    def __init__(self, python: Path | str, script: str, folder: Path, *arguments: str) -> None:
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  # see stop
        self._process = subprocess.Popen(
            [str(python), str(SCRIPTS / script), str(folder), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | dict.fromkeys(ONE_THREAD, "1"),
        )
        try:
            self.versions: str = self._answer()["versions"]
        except UnavailableError:
            self.stop()
            raise

    def compute(self, way: str) -> np.ndarray:
        """What it makes of each window, float64 [N, ...]."""
        return np.array(self._ask(f"compute {way}")["found"])

    def run(self, way: str, number: int) -> float:
        """Seconds for a window of a batch."""
        seconds: float = self._ask(f"run {way} {number}")["seconds"]
        return seconds

    def resident(self) -> float:
        """Memory in MB, now."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        line = next(line for line in lines if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024 / 1e6

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _ask(self, line: str) -> Any:
        assert self._process.stdin
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it said last is in the log
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            said = self._errors.read().strip().splitlines()
            raise UnavailableError(f"did not run: {said[-1][:200] if said else 'no message'}")
        return json.loads(line)


@dataclass
class Row:
    """One way of one worker in the table. seconds: of each round."""

    name: str
    worker: Worker
    way: str
    found: np.ndarray
    seconds: list[float]


def one_core(core: int | None) -> int:
    """Keep this process, and all that it starts from now on, on one core: `core`, or the last."""
    chosen = max(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {chosen})
    return chosen


def alternate(rows: Sequence[Row], rounds: int) -> None:
    """Each round, every row does the same batch once; who is first changes."""
    for number in range(rounds):
        first = number % len(rows)
        for row in (*rows[first:], *rows[:first]):
            row.seconds.append(row.worker.run(row.way, number))


def ratios(row: Row, unit: Row) -> str:
    """Median over rounds of the time as a multiple of `unit`'s, and the middle half of them."""
    found = [a / b for a, b in zip(row.seconds, unit.seconds, strict=True)]
    low, middle, high = statistics.quantiles(found, n=4)
    return f"{middle:.2f} | {low:.2f}–{high:.2f}"


def write_job(folder: Path, job: dict[str, Any], **arrays: np.ndarray) -> None:
    """The folder that workers are given."""
    (folder / "job.json").write_text(json.dumps(job))
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(array, np.float32))
