"""A file of another framework to an extractor: copied, converted, checked, or refused."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import onnx

from edgeaudio.errors import EdgeAudioError, ModelFileError
from edgeaudio.network import open_session
from edgeaudio.types import F32
from edgeaudio_export.foreign.attach import attach
from edgeaudio_export.foreign.check import (
    Report,
    check_conversion,
    check_signals,
    compare,
    limits_of,
    nudged,
    run_graph,
)
from edgeaudio_export.foreign.extractor import ForeignExtractor, check_name
from edgeaudio_export.foreign.frontends import get_frontend
from edgeaudio_export.foreign.process import require_packages, run_worker
from edgeaudio_export.foreign.request import Converted, Refused, Request
from edgeaudio_export.foreign.source import Snapshot, snapshot
from edgeaudio_export.versions import versions

VERSION = 1
"""Changes when the same source and options would be used in another way."""

_RATES = (100, 1_000_000)
_MOST_SAMPLES = 10_000_000


@dataclass(frozen=True)
class _Input:
    """signals: what is tried, by name. fed: the same as the network takes it, float32 [K, ...].

    frontend: graph from `pcm` to that, None where it takes the samples themselves.
    """

    window: int
    signals: dict[str, F32]
    fed: F32
    frontend: onnx.ModelProto | None


def import_model(
    path: str | Path,
    *,
    name: str,
    sample_rate: int,
    window: int,
    frontend: str | None = None,
    layer: str | None = None,
    licence: str = "",
) -> ForeignExtractor:
    """Make an extractor of a Keras model, SavedModel, TensorFlow Lite or ONNX file.

    name: of the new extractor. sample_rate in Hz; window in samples, which the model takes, or
    one of our front-ends, whose spectrogram it takes. layer: whose output is the embedding (a
    layer of a Keras model, an output or tensor of the others), the last one if None. licence: of
    the model, kept with it. Nothing is written; see `save`.
    Raises ModelFileError if the file is not taken, can't be converted, or computes something
    else afterwards; MissingExtraError without the packages that read it; EdgeAudioError for a
    name, window or front-end that does not work.
    """
    path = Path(path)
    check_name(name)
    given = _input(sample_rate, window, frontend)
    with tempfile.TemporaryDirectory(prefix="edgeaudio-import-") as temporary:
        folder = Path(temporary)
        try:
            source = snapshot(path, folder)
            require_packages(source.kind)
            work = folder / "work"
            work.mkdir()
            request = Request(source.kind, str(source.path), layer, len(given.fed))
            fed = np.concatenate([given.fed, nudged(given.fed)])
            converted = run_worker(request, fed, work)
            model, report = _proved(source, converted, given, path)
        except Refused as refusal:
            raise ModelFileError(f"{path} can't be imported: {refusal}.") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ModelFileError(f"{path} can't be read: {reason}.") from None
    return ForeignExtractor(
        id=name,
        sample_rate=sample_rate,
        window=window,
        dimensions=converted.outputs.shape[1],
        digest=_digest(source, sample_rate, window, frontend, layer),
        licence=licence,
        kind=source.kind,
        source=path.resolve().name,
        source_sha256=source.digest,
        frontend=frontend,
        layer=layer,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=_versions(source),
        report=report,
        model=model,
    )


def _input(sample_rate: int, window: int, frontend: str | None) -> _Input:
    if not _RATES[0] <= sample_rate <= _RATES[1]:
        raise EdgeAudioError(
            f"The sample rate is {sample_rate} Hz, expected {_RATES[0]} to {_RATES[1]}."
        )
    if not 1 <= window <= _MOST_SAMPLES:
        raise EdgeAudioError(f"The window has {window} samples, expected 1 to {_MOST_SAMPLES}.")
    graph = None if frontend is None else get_frontend(frontend, sample_rate, window).graph()
    signals = check_signals(window, sample_rate)
    fed = np.stack(list(signals.values()))
    if graph is not None:
        fed = open_session(graph.SerializeToString()).run(None, {"pcm": fed})[0]
    return _Input(window, signals, fed, graph)


def _proved(
    source: Snapshot, converted: Converted, given: _Input, path: Path
) -> tuple[onnx.ModelProto, Report]:
    """The finished graph, once it computes what the source does, alone and many at once."""
    count, data = len(given.signals), given.fed.shape[1:]
    outputs = converted.outputs[:count]
    limits = limits_of(source.kind, outputs, converted.outputs[count:], converted.exact)

    def finished(batched: bool) -> onnx.ModelProto:
        return attach(
            converted.network,
            data,
            given.window,
            outputs.shape[1],
            frontend=given.frontend,
            batched=batched,
        )

    model = finished(batched=True)
    if not _holds_together(model, given, outputs, limits):
        model = finished(batched=False)
    return model, check_conversion(model, given.signals, outputs, limits, str(path))


def _holds_together(
    model: onnx.ModelProto, given: _Input, outputs: F32, limits: list[float]
) -> bool:
    """Converters write a batch of 1 into the middle of graphs whose input is open."""
    stacked = np.stack(list(given.signals.values()))
    try:
        found = run_graph(model, stacked, together=True)
        return compare(list(given.signals), outputs, found, limits).holds
    except ValueError:
        return False


def _digest(
    source: Snapshot, sample_rate: int, window: int, frontend: str | None, layer: str | None
) -> str:
    options = f"{sample_rate} {window} {frontend!r} {layer!r}"
    text = f"foreign {VERSION}\n{source.kind} {source.digest}\n{options}"
    return hashlib.sha256(text.encode()).hexdigest()


def _versions(source: Snapshot) -> dict[str, str]:
    names = () if source.kind == "onnx" else ("tensorflow", "tf2onnx", "tf_keras", "keras")
    found = versions("onnx")
    for name in names:
        try:
            found |= versions(name)
        except PackageNotFoundError:  # TensorFlow has other names, too
            continue
    return found
