"""An ONNX file of the folder, as edgeaudio runs it. For the project's own Python.

With `listen` behind the name of the file, in a heap that is kept as small as `listen` keeps it.
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import protocol

from edgeaudio.memory import give_back, small_heap
from edgeaudio.network import open_session

if as_listen := sys.argv[3:] == ["listen"]:
    small_heap()
session = open_session((protocol.FOLDER / sys.argv[2]).read_bytes())
if as_listen:
    give_back()
name = session.get_inputs()[0].name


def run(x: np.ndarray) -> np.ndarray:
    return session.run(["embedding"], {name: x})[0]


versions = f"ONNX Runtime {onnxruntime.__version__}"
protocol.serve({"run": (run, protocol.spectrograms()[:, None])}, versions)
