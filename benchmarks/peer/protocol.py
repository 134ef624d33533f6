"""What every worker has in common: its files, and the lines it speaks. Needs numpy only.

A worker is started with a folder, which holds `job.json`, `weights.npz`, `spectrograms.npy`
(float32 [N, frames, bins]) and `pcm.npy` (float32 [N, samples]), as far as it needs them. It says
`{"versions": ...}` when it is ready, and then answers each line with one of JSON:

    compute WAY        -> {"found": [[...], ...]}   what it makes of each window
    run WAY NUMBER     -> {"seconds": ...}          for a window; of one batch, once
    stop

WAY is one of several that a worker may know for the same thing. Importing this module already
keeps standard output for these lines: whatever a framework prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]

FOLDER = Path(sys.argv[1])
_LINES = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def job() -> dict:
    return json.loads((FOLDER / "job.json").read_text())


def weights() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "weights.npz") as file:
        return dict(file)


def spectrograms() -> np.ndarray:
    return np.load(FOLDER / "spectrograms.npy")


def pcm() -> np.ndarray:
    return np.load(FOLDER / "pcm.npy")


def serve(ways: dict[str, tuple[Function, np.ndarray]], versions: str) -> None:
    """Answer until told to stop. ways: each with its batches, [count, windows in a batch, ...]."""
    _say({"versions": versions})
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "stop":
            return
        function, batches = ways[rest[0]]
        if command == "compute":
            found = [np.asarray(function(x), np.float64) for x in batches]
            _say({"found": [window.ravel().tolist() for part in found for window in part]})
        else:
            batch = batches[int(rest[1]) % len(batches)]
            start = time.perf_counter()
            function(batch)
            _say({"seconds": (time.perf_counter() - start) / len(batch)})


def _say(what: dict) -> None:
    print(json.dumps(what), file=_LINES, flush=True)
