"""`edgeaudio listen` as a service would run it, on sound that comes through a pipe in real time."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from edgeaudio.bench.report import Live, percentiles
from edgeaudio.bench.sound import machine_sound
from edgeaudio.bench.system import processor_seconds, resident
from edgeaudio.errors import EdgeAudioError
from edgeaudio.types import WindowSpec

_PIECE = 0.01  # seconds of sound written at once
_PATIENCE = 60.0  # seconds for a first decision
_END = 10.0  # seconds for the process to end

# The microphone's library is loaded as well, where it is installed: it is part of what a service
# takes. The rest is the program itself.
_PROGRAM = """
import sys
try:
    import sounddevice
except (ImportError, OSError):
    pass
from edgeaudio.cli import main
main()
"""


def measure_live(model: Path, spec: WindowSpec, seconds: float, threads: int) -> Live:
    """Run it for `seconds` after its first decision; and once more, for its start.

    Raises EdgeAudioError, with what it said, if it does not get as far as a decision.
    """
    window, hop = spec.window / spec.sample_rate, spec.hop / spec.sample_rate
    options = ["--model", str(model), "--hop", repr(hop), "--horizon", repr(window)]
    options += ["--threads", str(threads)]
    start_s = _start(spec, options)
    with _listening(["--source", "-", *options]) as (process, errors):
        begin = time.monotonic()
        player, reader = _Player(process, spec, begin), _Reader(process)
        try:
            first = reader.first(_PATIENCE + window)
            used, since = processor_seconds(process.pid), time.monotonic()
            if first is not None:
                time.sleep(max(seconds, 2 * hop))
            spent = processor_seconds(process.pid)
            elapsed, rss = time.monotonic() - since, resident(process.pid)
            if first is None or process.poll() is not None:
                raise EdgeAudioError(f"`edgeaudio listen` does not run here: {_said(errors)}")
        finally:
            player.stop()
    late = [at - player.heard(end) for at, end in reader.arrived[1:]]
    share = 100 * (spent - used) / elapsed if spent is not None and used is not None else None
    return Live(
        start_s=start_s,
        decisions=len(late),
        latency_ms=percentiles(late) if late else None,
        cpu_percent=None if share is None else round(share, 2),
        rss_mb=rss,
    )


def _start(spec: WindowSpec, options: list[str]) -> float:
    """Seconds from start to first decision, less the window; a file begins to sound when opened,
    as a microphone does.
    """
    window = spec.window / spec.sample_rate
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.wav"
        sound = (machine_sound(window + 1, spec.sample_rate) * 32767).astype("<i2").tobytes()
        path.write_bytes(_wav_header(spec.sample_rate, len(sound)) + sound)
        begin = time.monotonic()
        source = ["--source", f"file:{path}", "--realtime"]
        with _listening([*source, *options]) as (process, errors):
            first = _Reader(process).first(_PATIENCE + window)
            if first is None:
                raise EdgeAudioError(f"`edgeaudio listen` does not run here: {_said(errors)}")
    return round(first - begin - window, 3)


@contextmanager
def _listening(options: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """`edgeaudio listen` as a process, with what it says besides; it is ended on leaving."""
    command = [sys.executable, "-c", _PROGRAM, "listen", "--json", *options]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors) as process,
    ):
        try:
            yield process, errors
        finally:
            _finish(process)


class _Player(threading.Thread):
    """Writes sound to a process as it would be heard; pieces end where windows end."""

    def __init__(self, process: subprocess.Popen[bytes], spec: WindowSpec, begin: float) -> None:
        super().__init__(daemon=True)
        assert process.stdin is not None
        self._pipe: IO[bytes] = process.stdin
        self._spec, self._begin = spec, begin
        self._stopped = threading.Event()
        self.start()

    def run(self) -> None:
        """Until stopped, or the other side is gone."""
        spec = self._spec
        sound = (machine_sound(2.0, spec.sample_rate) * 32767).astype("<i2")
        written, end = 0, self._next_end(0)
        try:
            self._pipe.write(_wav_header(spec.sample_rate))
            while not self._stopped.wait(max(0.0, self.heard(end) - time.monotonic())):
                at = written % len(sound)
                part = sound[at : at + end - written]
                rest = sound[: end - written - len(part)]
                self._pipe.write(part.tobytes() + rest.tobytes())
                self._pipe.flush()
                written, end = end, self._next_end(end)
        except (OSError, ValueError):  # it has ended
            pass

    def _next_end(self, written: int) -> int:
        """Where the next piece ends: it does not reach beyond the end of a window."""
        spec = self._spec
        windows = max(0, (written - spec.window) // spec.hop + 1)
        return min(written + int(_PIECE * spec.sample_rate), spec.window + windows * spec.hop)

    def heard(self, sample: int) -> float:
        """When so many samples have sounded, by the monotonic clock."""
        return self._begin + sample / self._spec.sample_rate

    def stop(self) -> None:
        """No more sound."""
        self._stopped.set()


class _Reader(threading.Thread):
    """Notes when each decision arrives, and up to which sample it reaches."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        assert process.stdout is not None
        self._pipe: IO[bytes] = process.stdout
        self._some = threading.Event()
        self.arrived: list[tuple[float, int]] = []
        self.start()

    def run(self) -> None:
        """Until the process ends."""
        try:
            for line in self._pipe:
                now = time.monotonic()
                self.arrived.append((now, int(json.loads(line)["end_sample"])))
                self._some.set()
        except (ValueError, KeyError):  # something else writes to its output
            self.arrived.clear()
        finally:
            self._some.set()

    def first(self, patience: float) -> float | None:
        """When the first decision came; None if there was none."""
        self._some.wait(patience)
        return self.arrived[0][0] if self.arrived else None


def _wav_header(rate: int, size: int = 0x7FFFFFFF - 36) -> bytes:
    """Of 16-bit mono, of `size` bytes; without end if not given."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", size + 36)
        + b"WAVEfmt "
        + form
        + b"data"
        + struct.pack("<I", size)
    )


def _said(errors: IO[bytes]) -> str:
    errors.seek(0)
    text = errors.read(100_000).decode(errors="replace").strip()
    return text.splitlines()[-1] if text else "it said nothing."


def _finish(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    try:
        process.wait(_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
