"""OpenL3's network in ONNX Runtime against other ways to run it, one thread on one core each.

    .venv/bin/python benchmarks/peers.py [--extractor openl3-mel256-music-512] [--int8 FILE.onnx]

All networks are made of the same imported weights and get the same spectrograms, one window at
a time, in processes of their own; each framework has a virtual environment that is made on the
first run (3 GB under EDGEAUDIO_HOME in all). In each round every peer does one window, in
rotating order; but for one row of Keras's `predict`, which is given all windows at once, as
OpenL3's own package does with a file. Linux only.

The table: time as a multiple of our int8 graph (without --int8, of our float32 graph), median
over the rounds of the ratio within a round, and the middle half of these; median time, for
orientation; how far the embedding is from our float32 one: the largest relative difference, in
the L2 norm, or for int8 the cosine after the mean embedding is taken off both, median and
smallest; and the resident memory of the process after all rounds. `listen` keeps its heap small,
at a price in time, and so do two rows of ours; their memory is that of a device.

--int8: a model file of `edgeaudio export --quantize int8`, of the same extractor. --sounds: a
folder of recordings to measure with; without it, noises and tones are made. LiteRT's int8 ranges
are found with other recordings of that folder: for cosines that compare, calibrate FILE with it.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from peer import environments, sounds, workers
from peer.environments import UnavailableError
from peer.workers import Row, Worker

from edgeaudio import wire
from edgeaudio.files import write_atomic
from edgeaudio.spectrogram import Spectrogram, SpectrogramSpec
from edgeaudio_export.extractors import get_extractor, resolve
from edgeaudio_export.home import cache
from edgeaudio_export.weights import store

CALIBRATION = 64  # windows that LiteRT finds its int8 ranges with; not among those measured
BLOCKS = {512: (1, 1), 6144: (4, 3)}  # of the last map, by size of the embedding


@dataclass(frozen=True)
class Peer:
    """A worker to be, and its rows: way by name. environment: None for our own Python."""

    environment: str | None
    script: str
    arguments: tuple[str, ...]
    ways: dict[str, str]


def ours(ways: dict[str, str], *arguments: str) -> Peer:
    return Peer(None, "with_onnxruntime.py", arguments, ways)


PEERS = (
    ours({"edgeaudio, float32": "run"}, "float.onnx"),
    ours({"edgeaudio, int8": "run"}, "int8.onnx"),
    ours({"edgeaudio, float32, in `listen`'s heap": "run"}, "float.onnx", "listen"),
    ours({"edgeaudio, int8, in `listen`'s heap": "run"}, "int8.onnx", "listen"),
    Peer(
        "tensorflow",
        "with_keras.py",
        (),
        {"Keras, `predict`": "predict", "Keras, `predict_on_batch`": "predict-on-batch"},
    ),
    Peer("tensorflow", "with_keras.py", (), {"Keras, `predict`, batch": "predict-all"}),
    Peer("torch", "with_torch.py", (), {"torch, float32": "run"}),
    Peer("litert", "with_litert.py", ("float.tflite",), {"LiteRT, float32": "run"}),
    Peer("litert", "with_litert.py", ("int8.tflite",), {"LiteRT, int8": "run"}),
    Peer("openvino", "with_openvino.py", ("float.onnx",), {"OpenVINO, float32": "run"}),
    Peer("openvino", "with_openvino.py", ("int8.onnx",), {"OpenVINO, our int8 file": "run"}),
)


def write_inputs(folder: Path, options: argparse.Namespace) -> None:
    """All that workers read, but LiteRT's files."""
    entry, chosen = resolve(options.extractor, {})
    extractor = get_extractor(options.extractor)
    spec = extractor.front_end
    if not entry.id.startswith("openl3") or spec is None:
        sys.exit(f"{options.extractor} is not one of OpenL3's.")
    arrays = {k: v for name in entry.weights(chosen) for k, v in store.require(name).arrays.items()}
    np.savez(folder / "weights.npz", **arrays)
    down, across = BLOCKS[extractor.dimensions]
    pool = [spec.bands // 8 // down, spec.frames // 8 // across]
    measured, others = (
        sounds.windows(options.sounds, number, count, extractor.window, extractor.sample_rate)
        for number, count in enumerate((options.windows, CALIBRATION))
    )
    workers.write_job(
        folder,
        {"pool": pool},
        pcm=measured,
        spectrograms=spectrograms(measured, spec),
        calibration=spectrograms(others, spec),
    )
    graphs = {"float.onnx": extractor.graph().SerializeToString()}
    if options.int8:
        graphs["int8.onnx"] = options.int8.read_bytes()
    tensor = {spec.tensor: (spec.dtype, [spec.frames, spec.bands])}
    for name, graph in graphs.items():  # without their front-ends
        (folder / name).write_bytes(wire.part(graph, tensor, ["embedding"]))


def spectrograms(windows: np.ndarray, spec: SpectrogramSpec) -> np.ndarray:
    front_end = Spectrogram(spec)
    return np.concatenate([front_end(window).copy() for window in windows])


def convert_for_litert(folder: Path) -> None:
    """Put LiteRT's two files into the folder: from the cache, or converted.

    Raises UnavailableError.
    """
    inputs = [folder / name for name in ("job.json", "weights.npz", "calibration.npy")]
    scripts = [workers.SCRIPTS / name for name in ("convert_litert.py", "keras_network.py")]
    contents = b"".join(path.read_bytes() for path in inputs + scripts)
    made_of = contents + repr(environments.ENVIRONMENTS["tensorflow"]).encode()
    kept = cache("bench", "converted", hashlib.sha256(made_of).hexdigest())
    names = ("float.tflite", "int8.tflite")
    if not all((kept / name).is_file() for name in names):
        print("Converting the network for LiteRT", file=sys.stderr)
        python = environments.python_of("tensorflow")
        script = workers.SCRIPTS / "convert_litert.py"
        done = subprocess.run([python, script, folder], capture_output=True, text=True)
        if done.returncode:
            raise UnavailableError(f"not converted: {done.stderr.strip().splitlines()[-1][:200]}")
        kept.mkdir(parents=True, exist_ok=True)
        for name in names:
            write_atomic(kept / name, (folder / name).read_bytes(), overwrite=True)
    for name in names:
        shutil.copy(kept / name, folder)


def start(peer: Peer, folder: Path) -> list[Row]:
    """Its rows, each with the embeddings of all windows. Raises UnavailableError."""
    python = environments.python_of(peer.environment) if peer.environment else sys.executable
    if peer.environment == "litert" and not (folder / peer.arguments[0]).exists():
        convert_for_litert(folder)
    worker = Worker(python, peer.script, folder, *peer.arguments)
    try:
        return [Row(n, worker, way, worker.compute(way), []) for n, way in peer.ways.items()]
    except UnavailableError:
        worker.stop()
        raise


def difference(row: Row, reference: np.ndarray) -> str:
    if "int8" in row.name:
        cosines = centred_cosines(row.found, reference)
        return f"cosine {np.median(cosines):.4f}, at least {cosines.min():.4f}"
    lengths = np.linalg.norm(reference, axis=1)
    return f"{np.max(np.linalg.norm(row.found - reference, axis=1) / lengths):.1e}"


def centred_cosines(found: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Of each window, between what sets it apart from the others, [N]."""
    a, b = (x - reference.mean(axis=0) for x in (found, reference))
    return np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def print_table(rows: list[Row], left_out: dict[str, str], unit: Row) -> None:
    print("| | time | middle half | ms | difference | memory, MB |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.name} ({row.worker.versions}) | {workers.ratios(row, unit)} "
            f"| {1e3 * statistics.median(row.seconds):.0f} "
            f"| {difference(row, rows[0].found)} | {row.worker.resident():.0f} |"
        )
    for name, reason in left_out.items():
        print(f"| {name} | {reason} | | | | |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--extractor", default="openl3-mel256-music-512")
    parser.add_argument("--int8", type=Path, metavar="FILE")
    parser.add_argument("--sounds", type=Path, metavar="FOLDER")
    parser.add_argument("--windows", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--core", type=int, help="the one to work on; the last one otherwise")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        write_inputs(folder, options)
        workers.one_core(options.core)
        rows: list[Row] = []
        left_out: dict[str, str] = {}
        for peer in PEERS:
            if "int8.onnx" in peer.arguments and not options.int8:
                left_out |= dict.fromkeys(peer.ways, "no --int8 FILE")
                continue
            try:
                started = start(peer, folder)
            except UnavailableError as reason:
                if peer.environment is None:
                    sys.exit(f"{', '.join(peer.ways)}: {reason}")
                left_out |= dict.fromkeys(peer.ways, str(reason))
                continue
            stack.callback(started[0].worker.stop)
            rows += started
        workers.alternate(rows, options.rounds)
        print_table(rows, left_out, rows[1 if options.int8 else 0])


if __name__ == "__main__":
    main()
