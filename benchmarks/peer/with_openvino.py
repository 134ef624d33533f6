"""An ONNX file of the folder in OpenVINO, one thread. For OpenVINO's environment."""

from __future__ import annotations

import sys

import numpy as np
import openvino
import protocol

inputs = protocol.spectrograms()[:, None]
core = openvino.Core()
model = core.read_model(protocol.FOLDER / sys.argv[2])
model.reshape(list(inputs.shape[1:]))
settings = {
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "PERFORMANCE_HINT": "LATENCY",
    # Left alone, it computes with bfloat16 where the processor can.
    "INFERENCE_PRECISION_HINT": "f32",
    "ENABLE_CPU_PINNING": False,
}
request = core.compile_model(model, "CPU", settings).create_infer_request()


def run(x: np.ndarray) -> np.ndarray:
    return request.infer([x])[request.model_outputs[0]]


version = openvino.__version__.split("-")[0]
protocol.serve({"run": (run, inputs)}, f"OpenVINO {version}")
