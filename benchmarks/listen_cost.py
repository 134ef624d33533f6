"""Memory and processor time of a running `edgeaudio listen`, without extras of its own.

    .venv/bin/python benchmarks/listen_cost.py --model t4.onnx [listen's own options ...]

Starts it with the given options (the default microphone, unless --source says otherwise), lets
it settle, and prints one table: once at the model's hop, and once idle (a hop of a minute).
Linux only. For a file as source, add --realtime.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

EDGEAUDIO = Path(sys.executable).parent / "edgeaudio"
SETTLE_SECONDS = 8.0
MEASURE_SECONDS = 20.0


def measure(options: list[str]) -> tuple[float, float, float]:
    """Resident and anonymous memory in MB, processor time in percent of a core."""
    process = subprocess.Popen(
        [EDGEAUDIO, "listen", "--json", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(SETTLE_SECONDS)
        before, begin = processor_seconds(process.pid), time.monotonic()
        time.sleep(MEASURE_SECONDS)
        share = (processor_seconds(process.pid) - before) / (time.monotonic() - begin)
        memory = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    finally:
        process.terminate()
        process.wait(20)
    sizes = {line.split()[0]: int(line.split()[1]) * 1024 / 1e6 for line in memory.splitlines()[1:]}
    return sizes["Rss:"], sizes["Anonymous:"], 100 * share


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    print("| listen | resident, MB | anonymous, MB | processor, % of a core |")
    print("|---|---|---|---|")
    for name, extra in (("at the model's hop", []), ("idle", ["--hop", "60"])):
        values = measure([*sys.argv[1:], *extra])
        print(f"| {name} | " + " | ".join(f"{v:.1f}" for v in values) + " |", flush=True)


if __name__ == "__main__":
    main()
