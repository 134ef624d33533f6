"""The way in and out of the program: signals, errors, exit status."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

BROKEN_PIPE = 128 + signal.SIGPIPE
INTERRUPTED = 130
_RETRY_SECONDS = 0.02

_ON_DEVICES = ("listen", "classify", "verify", "devices", "bench")
"""Commands whose matrices, outside of ONNX Runtime, are too small for several threads."""


def main() -> None:
    """Entry point of `edgeaudio`. A user's mistake gets a sentence, never a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _stop)
    if sys.argv[1:2] and sys.argv[1] in _ON_DEVICES:
        # Read when numpy is first imported, whose matrix library would otherwise start a thread
        # and keep a buffer for every core: a tenth of a second, and memory, for nothing.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        _check_streams()
        status = _status()
    except KeyboardInterrupt:
        status = INTERRUPTED
    _leave(status)


def _status() -> int:
    from edgeaudio.errors import EdgeAudioError

    try:
        from edgeaudio.cli.app import app

        app()
    except EdgeAudioError as error:
        _say(str(error))
        return error.exit_status
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BrokenPipeError:  # whoever read our output has enough
        return BROKEN_PIPE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _say(f"the system refused: {where}{error.strerror or error}.")
        return 2
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    """Ctrl-C and SIGTERM unwind the program in order, so that no half-written file is left.

    An import can't be unwound (what interrupts it may come out as any error): it is waited for.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            signal.setitimer(signal.ITIMER_REAL, _RETRY_SECONDS)
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _check_streams() -> None:
    """A service may be started with its streams closed; and names of files need not be UTF-8."""
    for name, descriptor in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            while os.open(os.devnull, os.O_RDWR) < descriptor:
                pass
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r"))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _say(message: str) -> None:
    print(f"edgeaudio: {message}", file=sys.stderr)


def _leave(status: int) -> None:
    """End the process, also where PortAudio hangs and would hold up the interpreter's own exit."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter tries again
        status = status or (BROKEN_PIPE if isinstance(error, BrokenPipeError) else 2)
    microphone = sys.modules.get("edgeaudio.audio.microphone")
    if microphone is not None and microphone.hung():
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
