"""Servers and workers that are killed: nothing is lost, and nothing charged twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from isoflop.labs.backends.backend import Outcome
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.lab import Lab
from isoflop.labs.store.audit import audit
from isoflop.labs.store.database import Database, open_database
from isoflop.labs.store.experiments import submit
from isoflop.labs.store.opening import open_store
from isoflop.labs.store.queue import claim, heartbeat
from isoflop.labs.workers import worker
from isoflop.labs.workers.worker import run_next
from tests.support.lab_server import Server, finished, serving
from tests.support.labs import config_json, make_lab, training_config

SLOW_BACKEND = """
import time
from isoflop.labs.backends.surrogate import Surrogate

class Slow(Surrogate):
    def train(self, student, config, report):
        losses = ()
        for loss in (5.0, 4.5, 4.0, 3.5):
            losses += (loss,)
            report(losses)
            time.sleep(PAUSE)
        return super().train(student, config, report)

def open_backend(lab):
    return Slow(lab)
"""


def slow_lab(folder: Path, pause: float) -> Lab:
    """A lab whose runs take four pauses."""
    folder.mkdir(exist_ok=True)
    backend = folder / "slow.py"
    backend.write_text(SLOW_BACKEND.replace("PAUSE", str(pause)))
    return make_lab(folder / "lab", backend=str(backend))


def gone(pid: int, seconds: float = 20.0) -> bool:
    """Whether a process ends by itself in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def wait_for(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def state_of(client: httpx.Client, number: int) -> str:
    return client.get(f"/experiment/{number}").json()["status"]["status_type"]


def submitted(client: httpx.Client, seed: int) -> int:
    answer = client.post("/submit", json=config_json(model_seed=seed))
    assert answer.status_code == 200, answer.text
    return answer.json()["experiment_id"]


def explained(lab: Lab, url: str | None) -> bool:
    store = open_store(lab, url)
    with store.read() as connection:
        found = audit(connection)
    store.close()
    return found == []


def test_losses_come_while_a_worker_runs_and_its_death_costs_nothing(tmp_path: Path) -> None:
    lab = slow_lab(tmp_path, 0.5)
    with serving(lab) as server, server.client("ann") as client:
        number = submitted(client, 0)
        wait_for(lambda: state_of(client, number) == "running")
        first = client.get(f"/experiment/{number}").json()["status"]
        assert 1 <= len(first["val_losses"]) <= 4
        killed = server.worker_pids()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        status = finished(client, number)
        assert status["status_type"] == "completed"
        assert status["run_id"] != first["run_id"]
        assert status["queued_at"] == first["queued_at"]
        assert client.get("/budget").json()["used_seconds"] == 1.0
        assert set(server.worker_pids()).isdisjoint(killed)
    assert explained(lab, None)


@pytest.mark.slow
def test_killed_servers_lose_nothing_and_leave_no_worker(tmp_path: Path) -> None:
    lab = slow_lab(tmp_path, 0.05)
    numbers: list[int] = []
    for start in range(3):
        with serving(lab, workers=2) as server, server.client("ann") as client:
            numbers += [submitted(client, 10 * start + seed) for seed in range(2)]
            wait_for(lambda client=client, last=numbers[-1]: state_of(client, last) != "queued")
            workers = server.worker_pids()
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
            assert all(gone(pid) for pid in workers)
    with serving(lab, workers=2) as server, server.client("ann") as client:
        assert [run["experiment_id"] for run in client.get("/experiments").json()] == numbers
        assert {finished(client, number)["status_type"] for number in numbers} == {"completed"}
        assert client.get("/budget").json()["used_seconds"] == len(numbers)
    assert explained(lab, None)


def test_a_stopped_server_ends_its_workers_and_queues_their_jobs_again(tmp_path: Path) -> None:
    lab = slow_lab(tmp_path, 5)
    with serving(lab) as server, server.client("ann") as client:
        number = submitted(client, 0)
        wait_for(lambda: state_of(client, number) == "running")
        workers = server.worker_pids()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0
        assert all(gone(pid) for pid in workers)
    store = open_store(lab, None)
    with store.read() as connection:
        assert connection.exec_driver_sql("SELECT state FROM experiments").scalar() == "queued"
    store.close()
    assert "Traceback" not in server.log.read_text()


def test_a_port_in_use(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab")
    with serving(lab) as server:
        port = server.address.rpartition(":")[2]
        done = subprocess.run(
            [sys.executable, "-m", "isoflop", "lab", "serve", str(lab.folder), "--port", port],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == f"isoflop: --port {port}: is in use: choose another, or 0 for any that is free\n"


class Raising:
    """A backend that fails."""

    def train(self, *_: object) -> Outcome:
        raise ValueError("E = 1.69")


def test_a_failing_backend_says_no_more_than_that_it_failed(lab: Lab, store: Database) -> None:
    with store.write() as connection:
        submit(connection, 1, training_config())
    assert run_next(store, Raising(), "w")  # pyright: ignore[reportArgumentType]  # no whole backend
    with store.read() as connection:
        reason = connection.exec_driver_sql("SELECT reason FROM experiments").scalar()
        assert audit(connection) == []
    assert "ValueError" in str(reason)
    assert "1.69" not in str(reason)
    assert not run_next(store, Raising(), "w")  # pyright: ignore[reportArgumentType]  # no whole backend


class Robbed:
    """A backend whose job is given to another worker while it runs."""

    def __init__(self, store: Database) -> None:
        self.store = store

    def train(self, student: str, config: TrainingConfig, report: Callable[..., None]) -> Outcome:
        with self.store.write() as connection:
            connection.exec_driver_sql("UPDATE experiments SET run_id = 'another'")
        report((3.0,))
        raise AssertionError("a run that is no longer wanted went on")


def test_a_worker_that_lost_its_job_drops_it(lab: Lab, store: Database) -> None:
    with store.write() as connection:
        submit(connection, 1, training_config())
    assert run_next(store, Robbed(store), "w")  # pyright: ignore[reportArgumentType]  # no whole backend
    with store.read() as connection:
        row = connection.exec_driver_sql("SELECT state, run_id, val_losses FROM experiments").one()
    assert tuple(row) == ("running", "another", "[]")


class Outage:
    """A database that is out of reach for its next few transactions."""

    def __init__(self, store: Database, failures: int) -> None:
        self.store, self.failures = store, failures

    def read(self) -> AbstractContextManager[Any]:
        return self.store.read()

    def write(self) -> AbstractContextManager[Any]:
        self.failures -= 1
        return self.store.write() if self.failures < 0 else self.fail()

    @contextmanager
    def fail(self) -> Iterator[Any]:
        with self.store.read() as connection:
            connection.exec_driver_sql("SELECT * FROM no_such_table")
        yield connection


class Reporting:
    """A backend that reports a loss, while the database goes out of reach."""

    def __init__(self, outage: Outage) -> None:
        self.outage = outage

    def train(self, student: str, config: TrainingConfig, report: Callable[..., None]) -> Outcome:
        self.outage.failures = 3
        report((3.0,))
        return Outcome(5.0, (3.0,))


def test_a_run_outlives_a_database_that_is_gone_for_a_moment(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(lab, None)  # SQLite calls a missing table an operational error, as it does a full disk
    monkeypatch.setattr(worker, "RETRY_SECONDS", (0.01,) * 5)
    with store.write() as connection:
        submit(connection, 1, training_config())
    outage: Any = Outage(store, 0)
    backend: Any = Reporting(outage)
    assert run_next(outage, backend, "w")
    with store.read() as connection:
        row = connection.exec_driver_sql("SELECT state, used_seconds FROM experiments").one()
        assert tuple(row) == ("completed", 5.0)
        assert audit(connection) == []
    store.close()


HELD = """
import os, signal, sys, time
from isoflop.labs.store.database import open_database
from isoflop.labs.store.experiments import submit
from tests.support.labs import training_config
store = open_database(sys.argv[1], sys.argv[2])
with store.write() as connection:
    submit(connection, 1, training_config())
    print("written", flush=True)
    time.sleep(60)
"""


def test_a_process_killed_within_a_transaction_has_done_nothing(lab: Lab, url: str, store: Database) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HELD, url, lab.settings.lab_id],
        stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    process.kill()
    process.wait()
    process.stdout.close()
    again = open_database(url, lab.settings.lab_id)
    with again.write() as connection:
        assert claim(connection, "w") is None
        submit(connection, 1, training_config())
        job = claim(connection, "w")
        assert job is not None
        assert heartbeat(connection, job, ())
        assert audit(connection) == []
    again.close()


@pytest.mark.slow
def test_kills_of_everything_under_load(lab: Lab, tmp_path: Path, url: str) -> None:
    """Workers and servers killed at random while students submit: every run ends once, and is paid once."""
    slow = slow_lab(tmp_path / "slow", 0.02)
    database = None if "sqlite" in url else url
    accepted: set[int] = set()
    for start in range(3):
        with serving(slow, database, workers=2) as server:
            accepted |= _load(server, start)
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
    with serving(slow, database, workers=2) as server, server.client("ann") as client:
        listed = {run["experiment_id"] for run in client.get("/experiments").json()}
        assert accepted <= listed
        for number in listed:
            status = finished(client, number)  # one that three workers happened to die of has failed
            assert status["status_type"] == "completed" or "died" in status["reason"]["failure"]
        assert client.get("/budget").json()["used_seconds"] == len(listed)
    assert explained(slow, database)


def _load(server: Server, start: int) -> set[int]:
    """Submits, killing a worker in between; what was accepted."""
    accepted = set()
    with server.client("ann") as client:
        for seed in range(8):
            answer = client.post(
                "/submit", json=config_json(model_seed=100 * start + seed, max_runtime_seconds=20)
            )
            if answer.status_code == 200:
                accepted.add(answer.json()["experiment_id"])
            time.sleep(0.06)
            if seed % 4 == 2 and (pids := server.worker_pids()):
                os.kill(pids[0], signal.SIGKILL)
    return accepted
