"""Where work is done: in processes of this machine, or on a Dask or Ray cluster that exists.

On a cluster every machine must see the recordings, the report's folder and EDGEAUDIO_HOME under
the same paths, and have edgeaudio installed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any, Literal, Protocol, TypeVar

from edgeaudio.errors import EdgeAudioError, MissingExtraError
from edgeaudio_export.processes import cores, in_processes

T = TypeVar("T")
R = TypeVar("R")
EngineName = Literal["local", "dask", "ray"]
_PATIENCE = 10  # seconds, for a scheduler to answer
Make = Callable[..., Callable[[Any], Any]]


class Engine(Protocol):
    """Does `make(*arguments)(item)` of each item, and gives the results in order.

    `make` is called once a process, or seldom. All that is handed over must be picklable.
    """

    def run(
        self, make: Callable[..., Callable[[T], R]], arguments: tuple[Any, ...], items: Sequence[T]
    ) -> Iterator[R]:
        """Start, and give what is done; whoever stops asking stops the work."""
        ...


def get_engine(name: EngineName, jobs: int = 0, address: str | None = None) -> Engine:
    """jobs: processes of `local`, 0 for one a core. address: of the cluster's scheduler.

    Raises MissingExtraError, or EdgeAudioError where no cluster answers.
    """
    if name == "local":
        return LocalEngine(jobs or cores())
    package = {"dask": "distributed", "ray": "ray"}[name]
    if find_spec(package) is None:
        raise MissingExtraError(
            f"--engine {name} needs {package}, which is not installed; in the checkout of "
            f'edgeaudio: pip install ".[{name}]"'
        )
    return DaskEngine(address) if name == "dask" else RayEngine(address)


class LocalEngine:
    """Processes of this machine."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs

    def run(
        self, make: Callable[..., Callable[[T], R]], arguments: tuple[Any, ...], items: Sequence[T]
    ) -> Iterator[R]:
        """As `Engine` says."""
        return in_processes(self._jobs, make, arguments, items)


class DaskEngine:
    """Workers of a Dask cluster, of which each process does one thing at a time.

    So `dask worker --nthreads 1 --nworkers N`. address: tcp://HOST:8786; None:
    $DASK_SCHEDULER_ADDRESS.
    """

    def __init__(self, address: str | None) -> None:
        import dask
        from distributed import Client

        found = address or dask.config.get("scheduler-address", None)
        if not found:
            raise EdgeAudioError(
                "--engine dask needs the address of a scheduler that runs: --engine-address "
                "tcp://HOST:8786, or the variable DASK_SCHEDULER_ADDRESS."
            )
        try:
            self._client = Client(found, timeout=_PATIENCE)
        except (OSError, ValueError) as error:
            raise EdgeAudioError(f"No Dask scheduler answers at {found}: {error}.") from None
        if not self._client.scheduler_info()["workers"]:
            self._client.close()
            raise EdgeAudioError(f"The Dask scheduler at {found} has no workers; start some.")

    def run(
        self, make: Callable[..., Callable[[T], R]], arguments: tuple[Any, ...], items: Sequence[T]
    ) -> Iterator[R]:
        """As `Engine` says."""
        (setup,) = self._client.scatter([(make, arguments)], broadcast=True, hash=False)
        futures = self._client.map(_do, items, setup=setup, key_of=setup.key, pure=False)
        try:
            for future in futures:
                yield future.result()
        except EdgeAudioError:
            raise
        except Exception as error:  # a worker's own, or Dask's of a worker that was lost
            raise EdgeAudioError(f"A Dask worker failed: {type(error).__name__}: {error}") from None
        finally:
            self._client.cancel([f for f in futures if not f.done()], force=True)


_lock = threading.Lock()
_made: dict[str, Callable[[Any], Any]] = {}


def _do(item: Any, setup: tuple[Make, tuple[Any, ...]], key_of: str) -> Any:
    """On a worker. One at a time a process: torch's seed is the process's own."""
    with _lock:
        if key_of not in _made:
            _made.clear()
            make, arguments = setup
            _made[key_of] = make(*arguments)
        return _made[key_of](item)


class RayEngine:
    """Processors of a Ray cluster. address: ray://HOST:10001 or HOST:6379; None: the one here."""

    def __init__(self, address: str | None) -> None:
        import ray

        try:
            ray.init(address=address or "auto", log_to_driver=False, ignore_reinit_error=True)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise EdgeAudioError(
                f"No Ray cluster answers at {address or 'auto'}: {error}. Start one, or name it: "
                "--engine-address ray://HOST:10001."
            ) from None

    def run(
        self, make: Callable[..., Callable[[T], R]], arguments: tuple[Any, ...], items: Sequence[T]
    ) -> Iterator[R]:
        """As `Engine` says."""
        import ray
        from ray.util import ActorPool

        count = min(len(items), max(1, int(ray.available_resources().get("CPU", 1))))
        actor = ray.remote(num_cpus=1)(_Worker)
        actors = [actor.remote(make, arguments) for _ in range(count)]
        try:
            pool = ActorPool(actors)
            yield from pool.map(lambda worker, item: worker.do.remote(item), items)
        except ray.exceptions.RayTaskError as error:
            raise EdgeAudioError(f"A Ray worker failed: {error.cause}") from None
        except ray.exceptions.RayError as error:
            raise EdgeAudioError(f"A Ray worker failed: {error}") from None
        finally:
            for one in actors:
                ray.kill(one)


class _Worker:
    def __init__(self, make: Make, arguments: tuple[Any, ...]) -> None:
        self._work = make(*arguments)

    def do(self, item: Any) -> Any:
        return self._work(item)
