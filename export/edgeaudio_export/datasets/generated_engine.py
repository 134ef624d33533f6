"""A generated data set in the spirit of task T4: an electric engine, by a small signal model.

It exists so that everything can be tried without recordings. Nothing measured on it says
anything about real machines, and no accuracy on it is a result.

Each file is  microphone( room( engine + faults ) + background ):

- engine: shaft speed f around 24 Hz, wandering by 1 %; harmonics of f falling as 1/k; a gear
  at 31 f and a magnetic hum at 100 Hz with its harmonics; broadband noise from the fan.
- good: as above. heavy_load: speed down by 8 to 14 %, odd harmonics, gear and hum up by 8 to
  12 dB, the gear modulated by the shaft, more fan noise. broken: a bearing with a dent, which
  strikes 3.58 times a turn (with jitter) and rings at 2.2 to 3.6 kHz for a few milliseconds.
- room: decaying noise as impulse response, 60 dB in 0.1 to 0.4 s, mixed in at -12 to -4 dB.
- background: pink noise 8 to 20 dB below the engine. microphone: gain of -12 to +3 dB.

All random numbers come from PCG64 with a seed made of `SEED`, class and file.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from edgeaudio.errors import OutputError, OutputExistsError
from edgeaudio.files import current_umask
from edgeaudio.types import F64

SEED = 4
SAMPLE_RATE = 22_050
SECONDS = 4.0
FILES_PER_CLASS = 20
CLASSES = ("good", "heavy_load", "broken")
SHIFT_NAME = "shift.flac"
SHIFT_SECONDS = 10.0  # a class

_README = """GENERATED SOUND, not recordings.

60 files of an imaginary electric engine (20 each: good, heavy_load, broken), written by
`edgeaudio demo`. shift.flac runs through the three states, 10 seconds each, and was made with
other random numbers. An accuracy on this data says nothing about real machines.
"""


def write_dataset(folder: Path, progress: Callable[[int, int], None]) -> None:
    """Write the data set to a new folder, as a whole or not at all.

    Raises OutputExistsError if `folder` holds anything already, OutputError if it can't be made.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise OutputExistsError(f"{folder} exists and is no folder; choose another name.")
    if folder.exists() and any(folder.iterdir()):
        raise OutputExistsError(f"{folder} exists and is not empty; choose another name.")
    folder = folder.resolve()  # so that `.` has a name, and a folder around it
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:40]}."))
        try:
            _write_all(part, progress)
            part.chmod(0o777 & ~current_umask())
            part.replace(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise OutputExistsError(f"{folder} was made by another program meanwhile.") from None
        raise OutputError(f"{folder} can't be made: {error.strerror}.") from None


def _write_all(folder: Path, progress: Callable[[int, int], None]) -> None:
    total = len(CLASSES) * FILES_PER_CLASS
    for done in range(total):
        progress(done, total)
        kind, number = divmod(done, FILES_PER_CLASS)
        label = CLASSES[kind]
        (folder / label).mkdir(exist_ok=True)
        rng = np.random.default_rng((SEED, kind, number))
        samples = engine(label, SECONDS, rng)
        _write(folder / label / f"{label}-{number:02d}.wav", samples)
    _write(folder / SHIFT_NAME, shift())
    (folder / "README.txt").write_text(_README, encoding="utf-8")
    progress(total, total)


def shift() -> F64:
    """One engine that goes through all classes in turn, `SHIFT_SECONDS` each."""
    seeds = [(SEED, len(CLASSES), kind) for kind in range(len(CLASSES))]
    parts = [
        engine(label, SHIFT_SECONDS, np.random.default_rng(seed))
        for label, seed in zip(CLASSES, seeds, strict=True)
    ]
    return np.concatenate(parts)


def engine(label: str, seconds: float, rng: np.random.Generator) -> F64:
    """Samples of one file, float64 [seconds * 22050] in [-1, 1]."""
    count = round(seconds * SAMPLE_RATE)
    loaded = label == "heavy_load"
    slower = rng.uniform(0.86, 0.92) if loaded else 1.0
    turns = _turns(24 * rng.uniform(0.95, 1.05) * slower, count, rng)
    sound = _shaft(turns, rng, extra_db=rng.uniform(8, 12) if loaded else 0.0)
    sound += _noise(count, rng, tilt=1.0) * (0.12 if loaded else 0.06)
    if label == "broken":
        sound += _dent(turns, rng)
    sound = _room(sound, rng)
    sound /= np.sqrt(np.mean(sound**2))
    sound += _noise(count, rng, tilt=0.5) * _gain(-rng.uniform(8, 20))
    level = 0.08 * _gain(rng.uniform(-12, 3))
    return np.asarray(np.clip(sound * level, -1, 1))


def _turns(speed: float, count: int, rng: np.random.Generator) -> F64:
    """Angle of the shaft in turns [count]; the speed wanders by about 1 %."""
    steps = rng.standard_normal(count // 2048 + 2)
    slow = np.interp(np.arange(count) / 2048, np.arange(len(steps)), steps)
    return np.asarray(np.cumsum(speed * (1 + 0.01 * slow)) / SAMPLE_RATE)


def _shaft(turns: F64, rng: np.random.Generator, extra_db: float) -> F64:
    """Harmonics, gear and hum. extra_db: by how much load raises them."""
    extra = _gain(extra_db)
    sound = np.zeros_like(turns)
    for k in range(1, 13):
        lift = extra if k % 2 else 1.0
        sound += lift * rng.uniform(0.7, 1.3) / k * _sine(k * turns, rng)
    modulation = 1 + (0.6 if extra_db else 0.1) * _sine(turns, rng)
    sound += 0.15 * extra * modulation * _sine(31 * turns, rng)
    time = np.arange(len(turns)) / SAMPLE_RATE
    for k in range(1, 5):
        sound += 0.2 * extra / k * _sine(100 * k * time, rng)
    return sound


def _dent(turns: F64, rng: np.random.Generator) -> F64:
    """Strikes of a damaged bearing, 3.58 a turn, each ringing for a few milliseconds."""
    strikes = np.zeros_like(turns)
    due = np.arange(0.1, turns[-1], 1 / 3.58)
    due = due + 0.01 * rng.standard_normal(len(due))
    at = np.clip(np.searchsorted(turns, due), 0, len(turns) - 1)
    strikes[at] = rng.uniform(0.6, 1.4, len(at))
    time = np.arange(round(0.02 * SAMPLE_RATE)) / SAMPLE_RATE
    ringing = np.exp(-time / 0.003) * np.sin(2 * np.pi * rng.uniform(2200, 3600) * time)
    return rng.uniform(3, 6) * _convolve(strikes, ringing)


def _room(sound: F64, rng: np.random.Generator) -> F64:
    time = np.arange(round(0.4 * SAMPLE_RATE)) / SAMPLE_RATE
    decay = np.exp(-6.9 * time / rng.uniform(0.1, 0.4))
    response = decay * rng.standard_normal(len(time))
    response /= np.sqrt(np.sum(response**2))
    return sound + _gain(rng.uniform(-12, -4)) * _convolve(sound, response)


def _noise(count: int, rng: np.random.Generator, tilt: float) -> F64:
    """Noise of RMS 1 whose amplitude falls as 1 / f**tilt."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum[1:] /= np.arange(1, len(spectrum)) ** tilt
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, count)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))


def _convolve(sound: F64, response: F64) -> F64:
    size = 1 << (len(sound) + len(response)).bit_length()
    product = np.fft.rfft(sound, size) * np.fft.rfft(response, size)
    return np.asarray(np.fft.irfft(product, size)[: len(sound)])


def _sine(turns: F64, rng: np.random.Generator) -> F64:
    return np.asarray(np.sin(2 * np.pi * (turns + rng.random())))


def _gain(db: float) -> float:
    return float(10 ** (db / 20))


def _write(path: Path, samples: F64) -> None:
    memory = io.BytesIO()
    kind = path.suffix[1:].upper()
    soundfile.write(memory, samples, SAMPLE_RATE, format=kind, subtype="PCM_16")
    with path.open("wb") as file:
        file.write(memory.getvalue())
        file.flush()
        os.fsync(file.fileno())
