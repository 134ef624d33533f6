"""Each peer's own virtual environment, made once and kept among the caches."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from edgeaudio_export.home import cache

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"

# By name: what pip is given, call by call. tf_keras would ask for TensorFlow's build for graphics
# cards next to the one for processors; torch's plain build brings 2 GB for them.
ENVIRONMENTS = {
    "tensorflow": (["tensorflow-cpu==2.21.0"], ["--no-deps", "tf_keras==2.21.0"]),
    "torch": (["--index-url", TORCH_INDEX, "torch==2.13.0+cpu"], ["numpy"]),
    "litert": (["ai-edge-litert==2.3.0", "numpy"],),
    "openvino": (["openvino==2026.4.1", "numpy"],),
    "librosa": (["librosa==0.11.0"],),
}


class UnavailableError(Exception):
    """A peer that can't be had here, and why."""


def python_of(name: str) -> Path:
    """The interpreter of environment `name`, which is made if need be. Raises UnavailableError."""
    folder, wanted = cache("bench", name), repr(ENVIRONMENTS[name])
    python, made_of = folder / "bin" / "python", folder / "made-of.txt"
    if made_of.is_file() and made_of.read_text() == wanted:
        return python
    print(f"Making the environment for {name} in {folder}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    _call([sys.executable, "-m", "venv", str(folder)])
    for arguments in ENVIRONMENTS[name]:
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _call([*pip, "--only-binary", ":all:", *arguments])
    made_of.write_text(wanted)
    return python


def _call(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
        reason = (
            errors[-1].removeprefix("ERROR: ") if errors else f"pip ended with {done.returncode}"
        )
        raise UnavailableError(f"not installed: {reason[:200]}")
