"""Who may import whom: the walls of the house."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import edgeaudio
import edgeaudio_export

RUNTIME = Path(edgeaudio.__file__).parent
GROUND = {"types", "contract", "errors", "codec", "seal", "files", "memory"}
GROUND |= {"packing", "spectrogram", "wire", "network", "quantisation"}
ROOMS = ("audio", "decide", "model", "sinks")
WORKSTATION = {"onnx", "sklearn", "skl2onnx", "scipy", "torch", "tensorflow", "pickle", "joblib"}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
            if node.module == "edgeaudio":
                found |= {f"edgeaudio.{alias.name}" for alias in node.names}
    return found


def files_of(room: str) -> list[Path]:
    module = RUNTIME / f"{room}.py"
    return [module] if module.exists() else sorted((RUNTIME / room).rglob("*.py"))


def rooms_imported(path: Path) -> set[str]:
    return {n.split(".")[1] for n in imports(path) if n.startswith("edgeaudio.")}


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_rest_on_the_ground_floor_alone(room: str) -> None:
    for path in files_of(room):
        assert rooms_imported(path) <= GROUND | {room}, path


@pytest.mark.parametrize("room", sorted(GROUND))
def test_ground_floor_imports_no_room(room: str) -> None:
    for path in files_of(room):
        assert rooms_imported(path) <= GROUND, path


# What each room of the export stage may import of the others.
EXPORT_ROOMS = {
    "frontends": {"graphs"},
    "networks": {"graphs"},
    "weights": {"home"},
    "foreign": {"catalogue", "frontends", "golden", "graphs", "home", "versions", "weights"},
    "datasets": {"home"},
    "heads": {"extractors", "frontends", "graphs"},
    "quantise": set(),
    "peers": {"datasets", "extractors", "home", "processes", "versions", "weights"},
}


@pytest.mark.parametrize("room", EXPORT_ROOMS)
def test_export_rooms_rest_on_what_they_say(room: str) -> None:
    for path in sorted((Path(edgeaudio_export.__file__).parent / room).rglob("*.py")):
        names = {n.split(".")[1] for n in imports(path) if n.startswith("edgeaudio_export.")}
        assert names <= EXPORT_ROOMS[room] | {room}, path


def test_runtime_needs_nothing_of_the_workstation() -> None:
    for path in RUNTIME.rglob("*.py"):
        names = {name.split(".")[0] for name in imports(path)}
        if path == RUNTIME / "hear.py":
            names.remove("torch")  # evaluation kits bring it, and it is imported for them alone
        assert not names & WORKSTATION, path
        if path.parent.name != "cli":
            assert "edgeaudio_export" not in names, path


def test_listening_loads_only_what_it_uses() -> None:
    program = (
        "import sys, edgeaudio.cli.app, edgeaudio.model, edgeaudio.listen, edgeaudio.hear,"
        "edgeaudio.sinks.jsonlines, edgeaudio.audio.microphone; print(*sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert not loaded & (WORKSTATION - {"pickle"}), "numpy itself imports pickle"
    assert not loaded & {"rich", "soundfile", "pydantic", "edgeaudio_export"}


def test_public_names_are_fixed() -> None:
    assert edgeaudio.__all__ == [
        "ArraySource",
        "AudioFileError",
        "DataError",
        "Decision",
        "EdgeAudioError",
        "Event",
        "GoldenVectorError",
        "MicrophoneError",
        "MissingExtraError",
        "Model",
        "ModelFileError",
        "OutputError",
        "OutputExistsError",
        "Prediction",
        "Quality",
        "Source",
        "classify_file",
        "decisions",
        "get_scene_embeddings",
        "get_timestamp_embeddings",
        "load_model",
    ]
    for name in edgeaudio.__all__:
        assert getattr(edgeaudio, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = edgeaudio.nonsense
