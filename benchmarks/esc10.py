"""Accuracy of an extractor with a linear SVM on ESC-10, official folds, through the commands.

    .venv/bin/python benchmarks/esc10.py ESC10 [--extractor ID] [--fusion late early early-mean]

ESC10: folder with one sub-folder a class and clips named FOLD-..., as the set is published.
For each fold: train on the other four, export, classify it. Prints one table, in percent.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

EDGEAUDIO = Path(sys.executable).parent / "edgeaudio"


def edgeaudio(*arguments: object) -> str:
    command = [EDGEAUDIO, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def accuracy(clips: list[Path], fold: str, extractor: str, fusion: str, work: Path) -> float:
    manifest, head, model = work / "m.csv", work / "m.head", work / "m.onnx"
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for clip in clips:
            split = "test" if clip.name.startswith(fold) else "train"
            writer.writerow([clip, clip.parent.name, split])
    common = ("--extractor", extractor, "--force")
    edgeaudio("train", manifest, "--fusion", fusion, "-o", head, *common)
    edgeaudio("export", "--head", head, "-o", model, *common)
    test = [clip for clip in clips if clip.name.startswith(fold)]
    out = edgeaudio("classify", *test, "--model", model, "--json")
    found = [json.loads(line)["label"] for line in out.splitlines()]
    right = [label == clip.parent.name for label, clip in zip(found, test, strict=True)]
    return 100 * statistics.mean(right)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("esc10", type=Path)
    parser.add_argument("--extractor", default="logmel-stats")
    parser.add_argument("--fusion", nargs="+", default=["late", "early", "early-mean"])
    options = parser.parse_args()
    clips = sorted(p.resolve() for p in options.esc10.glob("*/*-*.*"))
    folds = sorted({clip.name.split("-")[0] for clip in clips})
    print(f"| {options.extractor} + svm | {' | '.join(f'fold {f}' for f in folds)} | mean | sd |")
    print("|---" * (len(folds) + 3) + "|")
    with tempfile.TemporaryDirectory() as work:
        for fusion in options.fusion:
            found = [
                accuracy(clips, f"{fold}-", options.extractor, fusion, Path(work)) for fold in folds
            ]
            values = [*found, statistics.mean(found), statistics.stdev(found)]
            print(f"| {fusion} | " + " | ".join(f"{v:.1f}" for v in values) + " |", flush=True)


if __name__ == "__main__":
    main()
