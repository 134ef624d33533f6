"""Keeping a process that runs for years small: what the C library would hold for nothing.

Only glibc has these knobs; elsewhere both functions do nothing.
"""

from __future__ import annotations

import contextlib
import ctypes

_M_ARENA_MAX = -8  # <malloc.h>


def one_arena() -> None:
    """One heap for all threads. Ours hardly ever allocate at the same time."""
    _call("mallopt", _M_ARENA_MAX, 1)


def give_back() -> None:
    """Return freed memory to the system, after start-up has used far more than the rest will."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    with contextlib.suppress(AttributeError, OSError):
        getattr(ctypes.CDLL(None), name)(*arguments)
