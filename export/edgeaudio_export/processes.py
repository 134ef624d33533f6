"""Work for several processes, that ends in order however it ends."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from typing import Any, TypeVar

from edgeaudio.errors import EdgeAudioError

T = TypeVar("T")
R = TypeVar("R")

_GRACE = 2.0  # seconds
_HELD = {signal.SIGINT}


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def in_processes(
    count: int,
    make: Callable[..., Callable[[T], R]],
    arguments: tuple[Any, ...],
    items: Sequence[T],
) -> Iterator[R]:
    """`make(*arguments)(item)` of each item, in order.

    count: processes, each of which calls `make` once; 1 or less: none but this one. All that is
    handed over must be picklable. Whoever stops asking stops the work.
    Raises EdgeAudioError where a process is killed.
    """
    count = min(count, len(items))
    if count <= 1:
        yield from map(make(*arguments), items)
        return
    others = set(active_children())
    pool = ProcessPoolExecutor(
        count, get_context("spawn"), initializer=_start, initargs=(make, arguments)
    )
    try:
        # Processes begin with Ctrl-C held back, until they can deal with it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
        try:
            results = pool.map(_work, items)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
        yield from results
    except BrokenProcessPool:
        raise EdgeAudioError(
            f"One of {count} processes was killed, most likely for want of memory; what is done "
            "is kept. Run it again with fewer, as --jobs 1."
        ) from None
    finally:
        # Not waiting for what is under way: whoever stops this wants it stopped.
        for process in set(active_children()) - others:
            process.terminate()
        pool.shutdown(cancel_futures=True)


_do: Callable[[Any], Any] | None = None
_working = False


def _start(make: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    """Make this process ready. It is stopped by the one that started it, in order."""
    global _do
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _do = make(*arguments)


def _stop(number: int, frame: object) -> None:
    """Unwind what is under way, so that no half-written file is left."""
    if not _working:
        os._exit(128 + number)
    raise SystemExit(128 + number)


def _leave_with_parent() -> None:
    """End this process when the one that started it is gone, however that came about."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE)  # for the file that is being written
        os._exit(1)


def _work(item: Any) -> Any:
    global _working
    assert _do is not None
    _working = True
    try:
        return _do(item)
    except SystemExit as end:  # handed back, it might wait for a process that was killed
        os._exit(int(end.code or 0))
    finally:
        _working = False
