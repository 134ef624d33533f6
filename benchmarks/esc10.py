"""Accuracy of an extractor with a linear SVM on ESC-10, official folds, through the commands.

    .venv/bin/python benchmarks/esc10.py ESC10 [--extractor ID] [--fusion late early early-mean]
                                               [--percent 10 [--draws 4]]

ESC10: folder with one sub-folder a class and clips named FOLD-ORIGIN-TAKE, as the set is
published. For each fold: train on the other four, export, classify it. With --percent, train on
that share of the set only: of each class, all takes of origins drawn until there are enough.
Prints one table, in percent; a line for each draw.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

EDGEAUDIO = Path(sys.executable).parent / "edgeaudio"


def edgeaudio(*arguments: object) -> str:
    command = [EDGEAUDIO, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def drawn(clips: list[Path], train: list[Path], percent: float, seed: int) -> set[Path]:
    """Whole origins of each class, until the class has `percent` of all its clips."""
    rng, chosen = random.Random(seed), set()
    for label in sorted({clip.parent for clip in clips}):
        wanted = percent / 100 * sum(clip.parent == label for clip in clips)
        origins = sorted({clip.name.split("-")[1] for clip in train if clip.parent == label})
        rng.shuffle(origins)
        taken: list[Path] = []
        while len(taken) < wanted and origins:
            origin = origins.pop()
            taken += [c for c in train if c.parent == label and c.name.split("-")[1] == origin]
        chosen.update(taken)
    return chosen


def accuracy(
    clips: list[Path], train: set[Path], fold: str, extractor: str, fusion: str, work: Path
) -> float:
    manifest, head, model = work / "m.csv", work / "m.head", work / "m.onnx"
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        writer.writerows([clip, clip.parent.name, "train"] for clip in sorted(train))
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
    parser.add_argument("--percent", type=float)
    parser.add_argument("--draws", type=int, default=4)
    options = parser.parse_args()
    clips = sorted(p.resolve() for p in options.esc10.glob("*/*-*.*"))
    folds = sorted({clip.name.split("-")[0] for clip in clips})
    print(f"| {options.extractor} + svm | {' | '.join(f'fold {f}' for f in folds)} | mean | sd |")
    print("|---" * (len(folds) + 3) + "|")
    draws = range(options.draws) if options.percent else [None]
    for fusion, seed in itertools.product(options.fusion, draws):
        found = []
        for fold in folds:
            train = [clip for clip in clips if not clip.name.startswith(f"{fold}-")]
            used = set(train) if seed is None else drawn(clips, train, options.percent, seed)
            with tempfile.TemporaryDirectory() as work:
                found.append(
                    accuracy(clips, used, f"{fold}-", options.extractor, fusion, Path(work))
                )
        values = [*found, statistics.mean(found), statistics.stdev(found)]
        print(f"| {fusion} | " + " | ".join(f"{v:.1f}" for v in values) + " |", flush=True)


if __name__ == "__main__":
    main()
