"""What recordings tell a model file at export: level statistics, and windows to remember."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeaudio.audio.file import FileSource
from edgeaudio.audio.quality import rms_dbfs
from edgeaudio.audio.windows import windows_of
from edgeaudio.contract import Levels
from edgeaudio.errors import AudioFileError
from edgeaudio.types import F32
from edgeaudio_export.datasets.recordings import Dataset, Skipped, check_not_empty
from edgeaudio_export.embed import Progress, spec_of
from edgeaudio_export.extractors import Extractor

MAX_GOLDEN = 8
"""At most so many recorded windows go into a model file, one a class."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """levels: of all windows. windows: the loudest of each class's first recording, by label."""

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
                windows = [w.samples for w in windows_of(source, spec)]
        except AudioFileError as error:
            skipped.append(Skipped(recording.path, recording.label, str(error)))
            continue
        kept.append(recording)
        found = [rms_dbfs(w) for w in windows]
        levels += found
        if len(chosen) < MAX_GOLDEN:
            chosen.setdefault(recording.label, windows[int(np.argmax(found))])
    progress(len(dataset.recordings), len(dataset.recordings))
    check_not_empty(Dataset(dataset.root, tuple(kept), tuple(skipped)))
    p05, p50, p95 = (round(float(p), 2) for p in np.percentile(levels, (5, 50, 95)))
    return Calibration(Levels(len(levels), p05, p50, p95), chosen, tuple(skipped))
