"""Draws docs/live-view.svg: the live view at work on the generated engine, 20 s in.

    .venv/bin/python docs/picture.py MODEL.onnx RECORDING

It is what `edgeaudio listen` shows on a terminal, taken from the same code.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console

from edgeaudio.audio.file import FileSource
from edgeaudio.audio.source import LimitedSource
from edgeaudio.decide.horizon import windows_in
from edgeaudio.listen import decisions
from edgeaudio.model import load_model
from edgeaudio.sinks.terminal import LiveView

SECONDS = 20.0


def main(model_file: str, recording: str) -> None:
    """Listen for a while, then keep the last picture."""
    model = load_model(model_file)
    spec = model.contract.window_spec
    windows = windows_in(model.contract.horizon, spec)
    title = f"listening to {Path(recording).name} (generated sound)"
    hidden = Console(file=io.StringIO(), force_terminal=True, width=76)
    view = LiveView(hidden, title, model.labels, windows, spec.sample_rate)
    with LimitedSource(FileSource(recording, block=1024), SECONDS) as source:
        for _ in decisions(model, source, [view]):
            pass
    view.close()
    paper = Console(record=True, width=76, file=io.StringIO(), force_terminal=True)
    paper.print(view.render())
    svg = paper.export_svg(title="edgeaudio listen")
    (Path(__file__).parent / "live-view.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
