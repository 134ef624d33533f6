"""Running the worker process, and what to say when it does not come back."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from edgeaudio import codec
from edgeaudio.errors import MissingExtraError
from edgeaudio.types import F32
from edgeaudio_export.foreign.plain import parse
from edgeaudio_export.foreign.request import KIND_NAMES, Converted, Refused, Request, SourceKind
from edgeaudio_export.weights.apart import ending

TIMEOUT = 1200  # seconds; the largest networks of the field take one minute

_NEEDS = {
    "keras": ("tensorflow", "tf_keras", "tf2onnx", "h5py"),
    "savedmodel": ("tensorflow", "tf2onnx"),
    "tflite": ("tensorflow", "tf2onnx"),
    "onnx": (),
}
_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # plain float arithmetic, in the order the graph says
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
    "PYTHONWARNINGS": "ignore",
    "HDF5_PLUGIN_PATH": os.devnull,  # a file may name filters, which would be loaded from there
}


def require_packages(kind: SourceKind) -> None:
    """Raise MissingExtraError unless what reads this kind of model is installed."""
    missing = [name for name in _NEEDS[kind] if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"Reading a {KIND_NAMES[kind]} needs {', '.join(missing)}, which is not installed; "
            'on a workstation, in the checkout of edgeaudio: pip install ".[tf]"'
        )


def run_worker(request: Request, signals: F32, folder: Path) -> Converted:
    """Convert in a process of its own, in the empty folder `folder`.

    signals: float32 [K, ...], what the network is to be fed. Raises Refused.
    """
    (folder / "request.json").write_text(codec.dumps(request))
    np.save(folder / "signals.npy", signals)
    # -P: nothing in the working folder is imported.
    command = [sys.executable, "-P", "-m", "edgeaudio_export.foreign.worker"]
    with (folder / "log.txt").open("wb") as log:
        try:
            status = subprocess.run(
                command,
                cwd=folder,
                env=os.environ | _ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=TIMEOUT,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise Refused(f"its conversion was stopped after {TIMEOUT // 60} minutes") from None
    refusal, network = folder / "refused.txt", folder / "network.onnx"
    if refusal.exists():
        raise Refused(refusal.read_text(errors="replace"))
    if status or not network.exists():
        raise Refused(f"reading it {ending(status)}: it is damaged, or needs too much memory")
    outputs = np.load(folder / "outputs.npy", allow_pickle=False)
    if outputs.ndim != 2 or len(outputs) != len(signals) or not outputs.shape[1]:
        raise Refused(f"what it gives for a window is no vector (shape {outputs.shape[1:]})")
    exact = None
    if (folder / "exact.npy").exists():
        exact = np.load(folder / "exact.npy", allow_pickle=False).astype(np.float64)
        if exact.shape != (request.exact, outputs.shape[1]):
            exact = None
    return Converted(parse(network.read_bytes()), outputs.astype(np.float32), exact)
