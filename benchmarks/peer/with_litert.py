"""A LiteRT file of the folder, one thread. For LiteRT's environment, without TensorFlow."""

from __future__ import annotations

import sys
from importlib.metadata import version

import numpy as np
import protocol
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter(model_path=str(protocol.FOLDER / sys.argv[2]), num_threads=1)
interpreter.allocate_tensors()
into = interpreter.get_input_details()[0]["index"]
out = interpreter.get_output_details()[0]["index"]


def run(x: np.ndarray) -> np.ndarray:
    interpreter.set_tensor(into, x)
    interpreter.invoke()
    return interpreter.get_tensor(out)


images = protocol.spectrograms().transpose(0, 2, 1)[:, None, :, :, None]
protocol.serve({"run": (run, np.ascontiguousarray(images))}, f"LiteRT {version('ai-edge-litert')}")
