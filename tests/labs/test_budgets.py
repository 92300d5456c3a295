"""Budgets hold whatever happens: random histories against a plain model, and races for the last second."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from isoflop.labs.backends.backend import TIMEOUT, Outcome
from isoflop.labs.lab import Lab
from isoflop.labs.store.audit import audit
from isoflop.labs.store.database import Database
from isoflop.labs.store.experiments import (
    AlreadyExistsError,
    InsufficientBudgetError,
    NotQueuedError,
    cancel,
    list_experiments,
    submit,
)
from isoflop.labs.store.ledger import budget_summary
from isoflop.labs.store.opening import open_store
from isoflop.labs.store.queue import MAX_ATTEMPTS, Job, claim, finish, release_jobs_of
from isoflop.labs.store.students import all_students, student_named
from isoflop.labs.store.tables import nanos, seconds
from tests.support.examples import examples
from tests.support.labs import make_lab, training_config

BUDGET = 1000.0


class Budgets(RuleBasedStateMachine):
    """Students submit, cancel and run out; workers finish, time out and die: what remains is what a plain
    model says, in whole nanoseconds."""

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.store = open_store(make_lab(self.folder / "lab"), None)
        with self.store.read() as connection:
            self.students = [student.id for student in all_students(connection)]
        self.remaining = dict.fromkeys(self.students, nanos(BUDGET))
        self.reserved: dict[int, tuple[int, int]] = {}
        self.configs: dict[tuple[int, str], int] = {}
        self.jobs: list[Job] = []
        self.attempts: dict[int, int] = {}
        self.workers: dict[str, str] = {}
        self.n_claims = 0

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)

    @rule(
        who=st.integers(0, 2),
        reserve=st.one_of(st.floats(1, 700), st.sampled_from([1.0, 100.0, 333.1, BUDGET])),
        seed=st.integers(0, 2),
    )
    def submit(self, who: int, reserve: float, seed: int) -> None:
        student = self.students[who]
        config = training_config(max_runtime_seconds=reserve, model_seed=seed)
        key = (student, config.config_id)
        if nanos(reserve) > self.remaining[student]:
            with self.store.write() as connection, pytest.raises(InsufficientBudgetError) as insufficient:
                submit(connection, student, config)
            assert insufficient.value.summary.remaining_seconds == seconds(self.remaining[student])
            return
        if key in self.configs:
            with self.store.write() as connection, pytest.raises(AlreadyExistsError) as exists:
                submit(connection, student, config)
            assert exists.value.experiment_id == self.configs[key]
            return
        with self.store.write() as connection:
            answer = submit(connection, student, config)
        self.remaining[student] -= nanos(reserve)
        self.reserved[answer.experiment_id] = (student, nanos(reserve))
        self.configs[key] = answer.experiment_id
        assert answer.budget_summary.remaining_seconds == seconds(self.remaining[student])

    @precondition(lambda self: self.reserved)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.reserved)))
        student, reserved = self.reserved[number]
        running = any(job.experiment_id == number for job in self.jobs)
        with self.store.write() as connection:
            try:
                assert cancel(connection, student, number) is not None
            except NotQueuedError:
                assert running
                return
        assert not running
        self.remaining[student] += reserved
        del self.reserved[number]
        self.configs = {key: value for key, value in self.configs.items() if value != number}

    @rule()
    def claim(self) -> None:
        running = {job.experiment_id for job in self.jobs}
        with self.store.write() as connection:
            job = claim(connection, worker := f"worker {self.n_claims}")
        assert (job is None) == (set(self.reserved) <= running)
        if job is not None:
            assert job.experiment_id not in running
            self.n_claims += 1
            self.jobs.append(job)
            self.workers[job.run_id] = worker
            self.attempts[job.experiment_id] = self.attempts.get(job.experiment_id, 0) + 1

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), used=st.floats(0, 1200), failure=st.sampled_from([None, TIMEOUT, "diverged"]))
    def finish(self, data: st.DataObject, used: float, failure: str | None) -> None:
        job = self.jobs.pop(data.draw(st.integers(0, len(self.jobs) - 1)))
        for accepted in (True, False):
            with self.store.write() as connection:
                assert finish(connection, job, Outcome(used, (), failure)) is accepted
        student, reserved = self.reserved.pop(job.experiment_id)
        paid = reserved if failure == TIMEOUT else min(max(nanos(used), nanos(1)), reserved)
        self.remaining[student] += reserved - paid

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        job = self.jobs.pop(data.draw(st.integers(0, len(self.jobs) - 1)))
        with self.store.write() as connection:
            assert release_jobs_of(connection, self.workers[job.run_id]) == 1
        if self.attempts[job.experiment_id] >= MAX_ATTEMPTS:
            student, reserved = self.reserved.pop(job.experiment_id)
            self.remaining[student] += reserved - nanos(1)

    @invariant()
    def every_second_is_explained(self) -> None:
        if not hasattr(self, "store"):
            return
        with self.store.read() as connection:
            assert audit(connection) == []
            for student, remaining in self.remaining.items():
                summary = budget_summary(connection, student)
                assert summary.remaining_seconds == seconds(remaining) >= 0
                assert summary.total_budget_seconds == BUDGET


TestBudgets = Budgets.TestCase
TestBudgets.settings = settings(max_examples=examples(12), stateful_step_count=25)


def at_once(calls: list[Callable[[], bool]]) -> int:
    """How many of these succeed, all begun at the same moment in threads of their own."""
    start = Barrier(len(calls))

    def call(one: Callable[[], bool]) -> bool:
        start.wait(timeout=60)
        return one()

    with ThreadPoolExecutor(len(calls)) as pool:
        return sum(pool.map(call, calls))


def submitted(store: Database, student: str, reserve: float, seed: int) -> bool:
    with store.write() as connection:
        try:
            number = student_named(connection, student).id
            submit(connection, number, training_config(max_runtime_seconds=reserve, model_seed=seed))
        except (InsufficientBudgetError, AlreadyExistsError):
            return False
    return True


def test_two_submissions_race_for_the_last_second(store: Database) -> None:
    assert submitted(store, "ann", BUDGET - 1, 99)
    for _ in range(3):
        calls = [lambda seed=seed: submitted(store, "ann", 1.0, seed) for seed in range(16)]
        assert at_once(calls) <= 1
    with store.read() as connection:
        assert budget_summary(connection, student_named(connection, "ann").id).remaining_seconds == 0
        assert len(list_experiments(connection, student_named(connection, "ann").id)) == 2
        assert audit(connection) == []


def test_the_same_config_races_against_itself(store: Database) -> None:
    assert at_once([lambda: submitted(store, "ann", 10.0, 0)] * 16) == 1


def test_workers_race_for_jobs(store: Database) -> None:
    for seed in range(12):
        assert submitted(store, "ann", 10.0, seed)
    jobs: list[Job] = []

    def work() -> bool:
        while True:
            with store.write() as connection:
                job = claim(connection, "w")
            if job is None:
                return True
            jobs.append(job)
            with store.write() as connection:
                assert finish(connection, job, Outcome(2.0, (4.0,)))

    assert at_once([work] * 6) == 6
    assert sorted(job.experiment_id for job in jobs) == sorted({job.experiment_id for job in jobs})
    assert len(jobs) == 12
    with store.read() as connection:
        assert budget_summary(connection, student_named(connection, "ann").id).used_seconds == 24
        assert audit(connection) == []


RACER = """
import sys
from pathlib import Path
from isoflop.labs.lab import open_lab
from isoflop.labs.store.database import open_database
from isoflop.labs.store.experiments import InsufficientBudgetError, submit
from tests.support.labs import training_config

store = open_database(sys.argv[2], open_lab(Path(sys.argv[1])).settings.lab_id)
print("ready", flush=True)
sys.stdin.readline()
won = 0
for seed in range(10):
    config = training_config(max_runtime_seconds=1.0, model_seed=1000 * int(sys.argv[3]) + seed)
    with store.write() as connection:
        try:
            submit(connection, 1, config)
        except InsufficientBudgetError:
            continue
    won += 1
print(won)
"""


@pytest.mark.slow
def test_processes_race_for_the_last_seconds(lab: Lab, url: str, store: Database) -> None:
    assert submitted(store, "ann", BUDGET - 7, 99)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(lab.folder), url, str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )
        for number in range(4)
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    won = [int(racer.communicate("go\n", timeout=120)[0]) for racer in racers]
    assert sum(won) == 7
    with store.read() as connection:
        assert budget_summary(connection, student_named(connection, "ann").id).remaining_seconds == 0
        assert audit(connection) == []
