"""What native libraries write to standard error, within bounds.

When a device is unplugged, PortAudio may write the same lines without end, tens of megabytes a
second, which would fill a service's log before the microphone counts as dead.
"""

from __future__ import annotations

import os
import sys
import threading
import time

LIMIT = 64 * 1024
"""Bytes that are passed on; the rest is dropped."""

_PIECE = 64 * 1024
_PAUSE = 0.05  # seconds between reads: the one who writes without end is slowed down, too


def bound_messages() -> None:
    """From now on, pass on the first `LIMIT` bytes only. Python's own messages are not touched."""
    own = os.dup(2)
    sys.stderr = os.fdopen(own, "w", buffering=1, errors="backslashreplace")
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    os.close(writer)
    threading.Thread(target=_forward, args=(reader, own), daemon=True).start()


def _forward(reader: int, writer: int) -> None:
    left = LIMIT
    while piece := os.read(reader, _PIECE):
        if left > 0:
            os.write(writer, piece[:left])
            left -= len(piece)
            if left <= 0:
                os.write(writer, b"\nedgeaudio: further messages of the sound system are dropped\n")
        time.sleep(_PAUSE)
