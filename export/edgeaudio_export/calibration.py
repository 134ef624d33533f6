"""What recordings tell a model file at export: level statistics, and windows to remember."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edgeaudio.audio.file import FileSource
from edgeaudio.audio.quality import rms_dbfs
from edgeaudio.audio.windows import windows_of
from edgeaudio.contract import Levels
from edgeaudio.errors import AudioFileError
from edgeaudio.types import F32, Window
from edgeaudio_export.datasets.recordings import Dataset, Skipped, check_not_empty
from edgeaudio_export.embed import Progress, spec_of
from edgeaudio_export.extractors import Extractor

RECORDED = "recorded: "
"""How the names of recorded golden vectors begin, so that none is taken for a generated one."""

MAX_GOLDEN = 8
"""At most so many recorded windows go into a model file, one a class,"""

MAX_GOLDEN_SAMPLES = 192_000
"""and no more than so many samples of them: four seconds at 48 kHz."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """levels: of all windows. windows: the loudest of each class's first recording, by name."""

    levels: Levels
    windows: dict[str, F32]
    skipped: tuple[Skipped, ...]


def calibrate(dataset: Dataset, extractor: Extractor, progress: Progress) -> Calibration:
    """Go through all recordings once. Raises DataError if a class has no usable one."""
    spec = spec_of(extractor, None)
    levels: list[float] = []
    chosen: dict[str, F32] = {}
    kept, skipped = [], list(dataset.skipped)
    for done, recording in enumerate(dataset.recordings):
        progress(done, len(dataset.recordings))
        try:
            with FileSource(recording.path) as source:
                loudest, found = _survey(windows_of(source, spec))
        except AudioFileError as error:
            skipped.append(Skipped(recording.path, recording.label, str(error), recording.split))
            continue
        kept.append(recording)
        levels += found
        if len(chosen) < min(MAX_GOLDEN, MAX_GOLDEN_SAMPLES // extractor.window):
            chosen.setdefault(RECORDED + recording.label, loudest)
    progress(len(dataset.recordings), len(dataset.recordings))
    check_not_empty(Dataset(dataset.root, tuple(kept), tuple(skipped)))
    p05, p50, p95 = (round(float(p), 2) for p in np.percentile(levels, (5, 50, 95)))
    return Calibration(Levels(len(levels), p05, p50, p95), chosen, tuple(skipped))


def _survey(windows: Iterable[Window]) -> tuple[F32, list[float]]:
    """The loudest window, and the level of each; one window is held at a time."""
    loudest, highest, levels = np.zeros(0, np.float32), -np.inf, []
    for window in windows:
        level = rms_dbfs(window.samples)
        if level > highest:
            loudest, highest = window.samples, level
        levels.append(level)
    return loudest, levels
