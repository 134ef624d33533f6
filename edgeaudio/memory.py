"""Keeping a process that runs for years small: what the C library would hold for nothing.

Only glibc has these knobs; elsewhere both functions do nothing.
"""

from __future__ import annotations

import contextlib
import ctypes

_M_ARENA_MAX = -8  # <malloc.h>
_M_MMAP_THRESHOLD = -3
_LARGE = 256 * 1024  # bytes


def small_heap() -> None:
    """One heap for all threads, and in it nothing large.

    Ours hardly ever allocate at the same time. What a window needs for a moment (spectrograms of
    megabytes) goes back to the system at once; left to itself, glibc would keep it.
    """
    _call("mallopt", _M_ARENA_MAX, 1)
    _call("mallopt", _M_MMAP_THRESHOLD, _LARGE)


def give_back() -> None:
    """Return freed memory to the system, after start-up has used far more than the rest will."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    with contextlib.suppress(AttributeError, OSError):
        getattr(ctypes.CDLL(None), name)(*arguments)
