"""Work on a cluster gives what it gives here."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeaudio.errors import EdgeAudioError, MissingExtraError
from edgeaudio_export import engines
from edgeaudio_export.engines import Engine, LocalEngine, get_engine
from edgeaudio_export.evaluate.plan import Request
from edgeaudio_export.evaluate.run import evaluate


class Adder:
    """Adds to what it is given, and says in which process."""

    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __call__(self, item: int) -> tuple[int, int]:
        if item < 0:
            raise EdgeAudioError(f"{item} is below 0.")
        return item + self.amount, os.getpid()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAUDIO_HOME", str(tmp_path / "home"))


@pytest.fixture
def dask(home: None) -> Iterator[Engine]:
    """A scheduler and two worker processes of this machine."""
    distributed = pytest.importorskip("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, on ports and clean-up
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, dashboard_address=None
        ) as cluster:
            engine = get_engine("dask", address=cluster.scheduler_address)
            yield engine
            engine._client.close()  # type: ignore[attr-defined]


@pytest.fixture
def ray_engine(home: None) -> Iterator[Engine]:
    ray = pytest.importorskip("ray")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield get_engine("ray")
        ray.shutdown()


def check(engine: Engine, here: bool) -> None:
    found = list(engine.run(Adder, (10,), list(range(12))))
    assert [value for value, _ in found] == list(range(10, 22))
    assert (os.getpid() in {process for _, process in found}) == here
    again = list(engine.run(Adder, (20,), [1, 2]))  # other work by the same workers
    assert [value for value, _ in again] == [21, 22]
    with pytest.raises(Exception, match=r"-1 is below 0\."):
        list(engine.run(Adder, (10,), [1, -1]))


@pytest.mark.parametrize("jobs", [1, 2])
def test_local(jobs: int) -> None:
    check(LocalEngine(jobs), here=jobs == 1)


def test_dask(dask: Engine) -> None:
    check(dask, here=False)


@pytest.mark.filterwarnings("ignore")
def test_ray(ray_engine: Engine) -> None:
    check(ray_engine, here=False)


def test_an_evaluation_on_a_dask_cluster_is_the_same(
    dask: Engine, engine_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(
        engine_folder,
        ("logmel-stats",),
        heads=("svm",),
        baselines=(),
    )
    quiet = lambda what, done, total: None  # noqa: E731
    evaluate(request, tmp_path / "cluster", quiet, dask)
    monkeypatch.setenv("EDGEAUDIO_HOME", str(tmp_path / "other"))
    evaluate(request, tmp_path / "local", quiet, LocalEngine(1))
    one, two = ((tmp_path / n / "results.json").read_bytes() for n in ("cluster", "local"))
    assert one == two


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(engines, "_PATIENCE", 1)
    with pytest.raises(EdgeAudioError, match="needs the address of a scheduler that runs"):
        get_engine("dask")
    with pytest.raises(EdgeAudioError, match="No Dask scheduler answers at tcp://127.0.0.1:9"):
        get_engine("dask", address="tcp://127.0.0.1:9")


@pytest.mark.parametrize(("name", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_an_engine_that_is_not_installed(
    name: engines.EngineName, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=rf"needs {package}.*\.\[{name}\]"):
        get_engine(name)
