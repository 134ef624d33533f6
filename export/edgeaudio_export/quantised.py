"""An extractor whose network computes in int8, calibrated on the user's own recordings."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from edgeaudio import wire
from edgeaudio.audio.file import FileSource
from edgeaudio.audio.windows import windows_of
from edgeaudio.errors import AudioFileError, DataError, EdgeAudioError
from edgeaudio.spectrogram import Spectrogram
from edgeaudio_export.datasets.recordings import Dataset, Recording
from edgeaudio_export.embed import spec_of
from edgeaudio_export.extractors import Extractor
from edgeaudio_export.golden import various_windows
from edgeaudio_export.graphs import IR_VERSION, OPSET
from edgeaudio_export.quantise import Quantised, quantise

CALIBRATION_WINDOWS = 64
"""So many windows calibrate, from as many recordings, the classes in turn; and a few generated
ones, silence and noise among them, which a device will hear though nobody recorded them."""

_GOLDEN_RATIO = 0.618  # multiples of it fall evenly between 0 and 1, whatever their number


@dataclass(frozen=True)
class LightExtractor:
    """extractor: in int8. quantised: how it came to it."""

    extractor: Extractor
    quantised: Quantised


def quantised_extractor(
    extractor: Extractor, dataset: Dataset, target: str, progress: Callable[[str], None]
) -> LightExtractor:
    """`extractor` with its network in int8; the front-end stays as it is.

    target: the kind of processor. progress: is told what is being done.
    Raises EdgeAudioError where there is nothing to quantise, DataError without usable windows.
    """
    whole = extractor.graph()
    network = _network(extractor, whole)
    windows = _calibration_windows(extractor, dataset.training())
    found = quantise(network, windows, target, progress=progress)
    model = _joined(whole, network, found.model)
    text = f"int8 {extractor.digest} {hashlib.sha256(_bytes(model)).hexdigest()}"

    def build(input_type: int) -> onnx.ModelProto:
        if input_type != TensorProto.FLOAT:
            raise EdgeAudioError("A quantised extractor takes float32 samples alone.")
        return model

    light = replace(
        extractor,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        float_digest=extractor.digest,
        build=build,
        columns=None,
    )
    return LightExtractor(light, found)


def this_target() -> str:
    """The kind of processor that this machine has."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        flags = set()
    if platform.machine() in ("aarch64", "arm64"):
        return "arm64-dot" if "asimddp" in flags else "arm64"
    return "x86-64" if flags & {"avx512_vnni", "avx_vnni"} else "x86-64-avx2"


def _network(extractor: Extractor, whole: onnx.ModelProto) -> onnx.ModelProto:
    """The graph behind the spectrogram, or all of it where that is not ours."""
    spec = extractor.front_end
    if spec is None:
        return whole
    kind = (spec.dtype, [spec.frames, spec.bands])
    part = wire.part(_bytes(whole), {spec.tensor: kind}, ["embedding"])
    return onnx.load_model_from_string(part)


def _joined(
    whole: onnx.ModelProto, network: onnx.ModelProto, light: onnx.ModelProto
) -> onnx.ModelProto:
    """`whole` with `light` in the place of `network`."""
    behind = {name for node in network.graph.node for name in node.output}
    front = [node for node in whole.graph.node if not behind & set(node.output)]
    used = {name for node in front for name in node.input}
    constants = [t for t in whole.graph.initializer if t.name in used]
    made = {name for node in front for name in node.output} | {t.name for t in constants}
    names = {name for node in light.graph.node for name in node.output}
    names |= {t.name for t in light.graph.initializer}
    if names & made:
        raise EdgeAudioError(f"Front-end and network share the name {min(names & made)!r}.")
    graph = onnx.helper.make_graph(
        [*front, *light.graph.node],
        whole.graph.name,
        list(whole.graph.input) if front else list(light.graph.input),
        list(whole.graph.output),
        [*constants, *light.graph.initializer],
    )
    opset = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


def _calibration_windows(extractor: Extractor, dataset: Dataset) -> list[NDArray[Any]]:
    """What the network takes of windows that are spread over recordings and classes."""
    spec = extractor.front_end
    front_end = Spectrogram(spec) if spec else None
    found: list[NDArray[Any]] = []
    for number, recording in enumerate(_in_turns(dataset)):
        window = _one_window(recording, extractor, number)
        if window is not None:
            found.append(front_end(window).copy() if front_end else window[None])
        if len(found) == CALIBRATION_WINDOWS:
            break
    if not found:
        raise DataError(f"{dataset.root} holds no recording that could calibrate.")
    various = various_windows(extractor.window, extractor.sample_rate)
    # Between the others, an odd number apart: every fourth judges, the rest calibrate.
    apart = (len(found) // len(various) + 2) | 1
    for i, window in enumerate(various):
        ready = front_end(window).copy() if front_end else window[None]
        found.insert(i * apart, ready)
    return found


def _in_turns(dataset: Dataset) -> Iterator[Recording]:
    """One of each class, then the next of each; where there are few, again and again."""
    by_label: dict[str, list[Recording]] = {}
    for recording in dataset.recordings:
        by_label.setdefault(recording.label, []).append(recording)
    shuffled = np.random.default_rng(7)
    for recordings in by_label.values():
        shuffled.shuffle(recordings)
    for turn in range(CALIBRATION_WINDOWS):
        for recordings in by_label.values():
            yield recordings[turn % len(recordings)]


def _one_window(recording: Recording, extractor: Extractor, number: int) -> NDArray[Any] | None:
    """One of its windows, another for each number; None if it can't be read."""
    spec = spec_of(extractor, None)
    try:
        with FileSource(recording.path) as source:
            samples = (source.frames or 0) * spec.sample_rate / source.sample_rate
            count = max(1, int((samples - spec.window) / spec.hop) + 1)
            chosen = int(number * _GOLDEN_RATIO * count) % count
            last = None
            for window in islice(windows_of(source, spec), chosen + 1):
                last = window.samples
            return last
    except AudioFileError:
        return None


def _bytes(model: onnx.ModelProto) -> bytes:
    data: bytes = model.SerializeToString(deterministic=True)
    return data
