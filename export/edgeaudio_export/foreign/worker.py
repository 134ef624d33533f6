"""The process in which foreign files are opened: `python -m edgeaudio_export.foreign.worker`.

A file that is made to crash a parser, or to fill the memory, takes this process down and
nothing else; and TensorFlow's log lines, warnings and memory stay here. Its working folder
holds `request.json` and `signals.npy`; it leaves `network.onnx` and `outputs.npy`, or
`refused.txt` with the end of a sentence.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from edgeaudio import codec
from edgeaudio.types import F32
from edgeaudio_export.foreign.request import Converted, Refused, Request
from edgeaudio_export.weights.apart import limit_resources


def main() -> None:
    """Carry out the request in the current folder."""
    limit_resources()
    request = codec.loads(Request, Path("request.json").read_text(), "request")
    signals = np.load("signals.npy", allow_pickle=False)
    try:
        converted = _convert(request, signals)
    except Refused as refusal:
        Path("refused.txt").write_text(str(refusal))
        return
    except Exception as error:  # whatever TensorFlow, Keras, tf2onnx or ONNX raise
        Path("refused.txt").write_text(_described(error))
        return
    Path("network.onnx").write_bytes(converted.network.SerializeToString())
    np.save("outputs.npy", converted.outputs)
    if converted.exact is not None:
        np.save("exact.npy", converted.exact)


def _convert(request: Request, signals: F32) -> Converted:
    """Imports inside: only what this kind of model needs."""
    source = Path(request.source)
    if request.kind == "onnx":
        from edgeaudio_export.foreign.onnx_file import convert as convert_onnx_file

        return convert_onnx_file(source, request.layer, signals)
    if request.kind == "tflite":
        from edgeaudio_export.foreign.tflite_file import convert as convert_tflite_file

        return convert_tflite_file(source, request.layer, signals)
    if request.kind == "savedmodel":
        from edgeaudio_export.foreign.saved_model import convert as convert_saved_model

        return convert_saved_model(source, request.layer, signals, request.exact)
    from edgeaudio_export.foreign.keras_file import convert as convert_keras_file

    return convert_keras_file(source, request.layer, signals, request.exact)


def _described(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it needs more memory than this machine has"
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    text = lines[0][:300].rstrip(".:") if lines else ""
    return f"its conversion failed ({type(error).__name__}{': ' if text else ''}{text})"


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # TensorFlow's own clearing up may take seconds, or crash
