"""Official files are read in a process of their own: `python -m edgeaudio_export.weights.apart`.

HDF5 and other parsers in C can be made to crash by a file that was tampered with. Such a file
takes that process down, and nothing else.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from edgeaudio.errors import EdgeAudioError, MissingExtraError, WeightsFileError
from edgeaudio_export.weights.importers import get_importer
from edgeaudio_export.weights.importers.common import Arrays, check_values, read_npz

TIMEOUT = 600  # seconds; VGGish, the largest, takes a few
_MEMORY_SHARE = 0.75  # of what the machine has
_MOST_BYTES = 2**31 - 1  # that it may write
_ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
_ERRORS = {error.__name__: error for error in (WeightsFileError, MissingExtraError, EdgeAudioError)}


def read(importer: str, path: Path) -> Arrays:
    """What the importer of that name makes of a file.

    Raises what it does, and WeightsFileError if the file makes its reader crash.
    """
    with tempfile.TemporaryDirectory(prefix="edgeaudio-weights-") as temporary:
        folder = Path(temporary)
        # -P: nothing in the working folder is imported.
        command = [sys.executable, "-P", "-m", __name__, importer, str(path), temporary]
        try:
            status = subprocess.run(
                command,
                env=os.environ | _ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=TIMEOUT,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise WeightsFileError(
                f"{path} was not read within {TIMEOUT // 60} minutes; it is damaged."
            ) from None
        if (folder / "error.json").exists():
            kind, message = json.loads((folder / "error.json").read_text())
            raise _ERRORS.get(kind, WeightsFileError)(message)
        if status:
            raise WeightsFileError(
                f"{path} can't be read: its reader {ending(status)}; it is damaged, or needs too "
                "much memory."
            )
        arrays = read_npz((folder / "arrays.npz").read_bytes(), _MOST_BYTES, stored=True)
    get_importer(importer).check(arrays, path)
    return check_values(arrays, path)


def ending(status: int) -> str:
    """What became of a process."""
    if status < 0:
        return f"ended with {signal.Signals(-status).name}"
    return f"ended with status {status}"


def limit_resources() -> None:
    """Bound what this process may take, so that a file can't fill memory or disk."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    _lower(resource.RLIMIT_DATA, int(memory * _MEMORY_SHARE))
    _lower(resource.RLIMIT_FSIZE, _MOST_BYTES)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(kind: int, limit: int) -> None:
    hard = resource.getrlimit(kind)[1]
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (limit, limit))


def main(importer: str, path: str, folder: str) -> None:
    """Read `path`, and leave `arrays.npz` or `error.json` in `folder`."""
    limit_resources()
    try:
        arrays = get_importer(importer).read(Path(path))
    except EdgeAudioError as error:
        Path(folder, "error.json").write_text(json.dumps([type(error).__name__, str(error)]))
        return
    with Path(folder, "arrays.npz").open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # it knows no names of arrays


if __name__ == "__main__":
    main(*sys.argv[1:])
