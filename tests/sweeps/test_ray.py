"""The Ray launcher against a real Ray cluster of two nodes on this machine."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from isoflop.base.errors import UserError
from isoflop.sweeps.launchers import pool
from isoflop.sweeps.launchers import ray as launchers_ray
from isoflop.sweeps.launchers.ray import open_launcher
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.execution import Execution
from tests.support.ray_cluster import NODE, ray_cluster
from tests.support.stand_in import StandIn, StandInActor, wait_until

pytestmark = pytest.mark.slow

ON_CORES = WorkerOptions(Execution(platform="cpu"))

COORDINATOR = """
import sys, time
from pathlib import Path
from isoflop.sweeps.launchers import ray
from isoflop.sweeps.queue.store import Store
from tests.support.stand_in import StandInActor
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.execution import Execution

ray.WorkerActor = StandInActor
ray.open_launcher(Store(Path(sys.argv[1])), WorkerOptions(Execution(platform="cpu")), "workers=1").scale(1)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of a core each."""
    with ray_cluster() as running:
        yield running


@pytest.fixture
def stand_in(tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A folder without workers, whose actors start the stand-in."""
    monkeypatch.setattr(pool, "PAUSE_SECONDS", (0.5, 600.0))
    monkeypatch.setattr(launchers_ray, "WorkerActor", StandInActor)
    return StandIn(tmp_path)


def test_a_worker_a_node_until_one_node_dies(stand_in: StandIn, cluster: Any) -> None:
    with contextlib.closing(open_launcher(Store(stand_in.folder), ON_CORES)) as launcher:
        assert launcher.worker_count == 2
        assert launcher.scale(1) == []
        stand_in.await_events("start", 1)
        assert launcher.scale(5) == []
        started = stand_in.await_events("start", 2)
        assert len({line["RAY_RAYLET_PID"] for line in started}) == 2
        assert launcher.scale(5) == []
        cluster.remove_node(next(iter(cluster.worker_nodes)))
        stand_in.await_events("orphaned", 1)
        said: list[str] = []
        wait_until(lambda: said.extend(launcher.scale(2)) or said)
        assert "node has died" in said[0]
        assert launcher.worker_count == 1
        cluster.add_node(**NODE)
        wait_until(lambda: launcher.scale(2) or len(stand_in.events("start")) == 3)
    assert len(stand_in.events("left")) == 2
    assert {line["name"] for line in stand_in.events("signal")} == {"SIGTERM"}


def test_a_worker_that_fails_is_told_and_replaced(stand_in: StandIn) -> None:
    stand_in.instruct(code=3)
    with contextlib.closing(open_launcher(Store(stand_in.folder), ON_CORES, "workers=1")) as launcher:
        said: list[str] = []
        wait_until(lambda: said.extend(launcher.scale(1)) or len(said) == 2)
        assert all("ended with status 3" in line for line in said)
        log = Path(said[0].removeprefix("the worker of ").partition(" ended")[0])
        assert log.is_relative_to(stand_in.folder)
        assert log.exists()
    assert len(stand_in.events("start")) in (2, 3)


def test_workers_without_room_are_waited_for_and_it_says_so(stand_in: StandIn) -> None:
    store = Store(stand_in.folder)
    with contextlib.closing(open_launcher(store, ON_CORES, "workers=1,resources.unicorn=1")) as launcher:
        assert launcher.waiting == ""
        launcher.scale(1)
        said = "1 workers wait for room on the Ray cluster (CPU 1, unicorn 1 each)"
        assert launcher.waiting == said
    with contextlib.closing(open_launcher(store, ON_CORES, "workers=1")) as launcher:
        launcher.scale(1)
        wait_until(lambda: launcher.waiting == "")
        stand_in.await_events("start", 1)


def test_workers_of_a_coordinator_that_is_killed_leave(stand_in: StandIn) -> None:
    command = [sys.executable, "-c", COORDINATOR, str(stand_in.folder)]
    with subprocess.Popen(command) as coordinator:
        try:
            stand_in.await_events("start", 1)
        finally:
            coordinator.kill()
    stand_in.await_events("orphaned", 1)


def test_a_cluster_that_does_not_answer_is_refused_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))  # it isn't asked
    for address in ("127.0.0.1:1", "nowhere", "ray://127.0.0.1:1"):
        with pytest.raises(UserError, match=f"no Ray cluster at {address}") as caught:
            open_launcher(Store(tmp_path), ON_CORES, f"address={address}")
        assert "\n" not in str(caught.value)


def test_without_ray_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'isoflop\[ray\]'"):
        open_launcher(Store(tmp_path), ON_CORES)


def test_several_nodes_a_run_are_slurms(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="take --launcher slurm"):
        open_launcher(Store(tmp_path), WorkerOptions(Execution(platform="cpu", devices=2, nodes=2)))
