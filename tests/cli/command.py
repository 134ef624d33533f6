"""Running a command as a user does: a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

EDGEAUDIO = Path(sys.executable).parent / "edgeaudio"


def edgeaudio(*arguments: object, status: int = 0, stdin: bytes | None = None) -> tuple[str, str]:
    run = subprocess.run(
        [EDGEAUDIO, *map(str, arguments)], capture_output=True, input=stdin, check=False
    )
    out, err = run.stdout.decode(), run.stderr.decode()
    assert "Traceback" not in err, err
    assert run.returncode == status, (run.returncode, out, err)
    return out, err


def objects(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]
