"""What the system tells about itself: name, heat, clock. Linux; elsewhere it tells nothing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from edgeaudio.bench.report import Machine

_SYSTEM = Path("/sys")
_MODEL_FILES = (Path("/proc/device-tree/model"), Path("/sys/firmware/devicetree/base/model"))
_PI_THROTTLED = 0xF000F
"""Bits of `vcgencmd get_throttled`: under-voltage, capped, throttled, hot; now, or since boot."""


class MachineWatch:
    """Looked at before and after something that may heat the machine up."""

    def __init__(self) -> None:
        self._before = _throttle_counts()
        self._pi_before = _pi_flags()
        self._clock: float | None = None

    def look(self) -> None:
        """Note the clock, while the machine is still at work."""
        clocks = [c for c in map(_clock, _cpus()) if c is not None]
        self._clock = round(100 * max(clocks), 1) if clocks else None

    def result(self) -> Machine:
        """The machine now, and whether it slowed down since."""
        counts, flags = _throttle_counts(), _pi_flags()
        throttled: bool | None = None
        if counts is not None and self._before is not None:
            throttled = counts > self._before
        if flags is not None:
            throttled = bool(throttled) or bool(flags & 0xF) or flags != self._pi_before
        return Machine(
            name=machine_name(),
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
            temperature_c=_temperature(),
            clock_percent=self._clock,
            throttled=throttled,
        )


def machine_name() -> str:
    """What the board or the processor is called."""
    for path in _MODEL_FILES:
        with suppress(OSError):
            return path.read_text().strip("\0 \n")
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def _cpus() -> list[Path]:
    return sorted((_SYSTEM / "devices/system/cpu").glob("cpu[0-9]*"))


def _temperature() -> float | None:
    found = []
    for zone in (_SYSTEM / "class/thermal").glob("thermal_zone*"):
        value = _number(zone / "temp")
        if value is not None and 0 < value < 150_000:
            found.append(value / 1000)
    return round(max(found), 1) if found else None


def _clock(cpu: Path) -> float | None:
    now, most = _number(cpu / "cpufreq/scaling_cur_freq"), _number(cpu / "cpufreq/cpuinfo_max_freq")
    return now / most if now and most else None


def _throttle_counts() -> float | None:
    counts = [_number(cpu / "thermal_throttle/core_throttle_count") for cpu in _cpus()]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _pi_flags() -> int | None:
    program = shutil.which("vcgencmd")
    if program is None:
        return None
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        run = subprocess.run([program, "get_throttled"], capture_output=True, text=True, timeout=5)
        return int(run.stdout.split("=")[1], 16) & _PI_THROTTLED
    return None


def _number(path: Path) -> float | None:
    with suppress(OSError, ValueError):
        return float(path.read_text())
    return None
