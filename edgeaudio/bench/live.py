"""`edgeaudio listen` as a service would run it, on sound that comes through a pipe in real time."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
import threading
import time
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
    """Run it for `seconds` after its first decision.

    Raises EdgeAudioError, with what it said, if it does not get as far as a decision.
    """
    window, hop = spec.window / spec.sample_rate, spec.hop / spec.sample_rate
    command = [sys.executable, "-c", _PROGRAM, "listen", "--json", "--source", "-"]
    command += ["--model", str(model), "--hop", repr(hop), "--horizon", repr(window)]
    if threads > 1:
        command += ["--threads", str(threads)]
    begin = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    player = _Player(process, spec, begin)
    reader = _Reader(process)
    try:
        first = reader.first(_PATIENCE)
        if first is None:
            raise EdgeAudioError(f"`edgeaudio listen` does not run here: {_said(process)}")
        used, since = processor_seconds(process.pid), time.monotonic()
        time.sleep(max(seconds, 2 * hop))
        spent = processor_seconds(process.pid)
        elapsed, rss = time.monotonic() - since, resident(process.pid)
    finally:
        player.stop()
        _finish(process)
    late = [at - player.heard(end) for at, end in reader.arrived[1:]]
    share = 100 * (spent - used) / elapsed if spent is not None and used is not None else None
    return Live(
        start_s=round(first - begin - window, 3),
        latency_ms=percentiles(late or [first - begin - window]),
        cpu_percent=None if share is None else round(share, 2),
        rss_mb=rss,
    )


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
        except OSError:
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
        for line in self._pipe:
            now = time.monotonic()
            self.arrived.append((now, int(json.loads(line)["end_sample"])))
            self._some.set()
        self._some.set()

    def first(self, patience: float) -> float | None:
        """When the first decision came; None if there was none."""
        self._some.wait(patience)
        return self.arrived[0][0] if self.arrived else None


def _wav_header(rate: int) -> bytes:
    """Of 16-bit mono without end."""
    endless = 0x7FFFFFFF - 36
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", endless + 36)
        + b"WAVEfmt "
        + form
        + b"data"
        + struct.pack("<I", endless)
    )


def _said(process: subprocess.Popen[bytes]) -> str:
    process.kill()
    text = process.communicate()[1].decode(errors="replace").strip()
    return text.splitlines()[-1] if text else "it said nothing."


def _finish(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
