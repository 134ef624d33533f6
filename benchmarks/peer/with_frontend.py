"""OpenL3's mel spectrogram, librosa's kind, as ours. For the project's own Python."""

from __future__ import annotations

import numpy as np
import onnxruntime
import protocol

from edgeaudio.network import open_session
from edgeaudio.spectrogram import Spectrogram, SpectrogramSpec
from edgeaudio_export.frontends import openl3
from edgeaudio_export.frontends.graph import add_spectrogram
from edgeaudio_export.graphs import GraphBuilder


def graph(spec: SpectrogramSpec) -> bytes:
    b = GraphBuilder()
    add_spectrogram(b, "pcm", spec)
    shape = ["N", spec.frames, spec.bands]
    model = b.model("front-end", {"pcm": ["N", spec.window]}, {spec.tensor: shape})
    return model.SerializeToString()


spec = openl3.spec(f"mel{protocol.job()['bands']}", "librosa")
front_end, session = Spectrogram(spec), open_session(graph(spec))
pcm = protocol.pcm()[:, None]

ways = {
    "numpy": (lambda x: front_end(x[0]).copy(), pcm),
    "graph": (lambda x: session.run(None, {"pcm": x})[0], pcm),
}
protocol.serve(ways, f"numpy {np.__version__}, ONNX Runtime {onnxruntime.__version__}")
