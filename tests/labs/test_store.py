"""What a lab remembers, on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from isoflop.base.errors import UserError
from isoflop.labs.backends.backend import TIMEOUT, Outcome
from isoflop.labs.contract.fields import now
from isoflop.labs.contract.interval import Interval
from isoflop.labs.contract.statuses import Completed, Failed, Queued, Running, Timeout, Unexpected
from isoflop.labs.lab import KEYS, Lab
from isoflop.labs.roster import keys_text
from isoflop.labs.store import queue
from isoflop.labs.store.audit import audit
from isoflop.labs.store.database import Database
from isoflop.labs.store.experiments import (
    AlreadyExistsError,
    InsufficientBudgetError,
    NotQueuedError,
    cancel,
    get_experiment,
    list_experiments,
    submit,
)
from isoflop.labs.store.finals import all_finals, last_final, save_final
from isoflop.labs.store.freezing import deadline, freeze, frozen_since
from isoflop.labs.store.ledger import budget_summary
from isoflop.labs.store.opening import open_store
from isoflop.labs.store.queue import Job, claim, finish, has_work, heartbeat, release_jobs_of
from isoflop.labs.store.refunds import grant, refund_experiment
from isoflop.labs.store.students import all_students, student_named, student_of_key
from tests.support.labs import make_lab, training_config


@dataclass(frozen=True)
class Desk:
    """One student's calls, each in a transaction of its own."""

    store: Database
    student_id: int

    def submit(self, seconds: float = 100.0, seed: int = 0) -> int:
        config = training_config(max_runtime_seconds=seconds, model_seed=seed)
        with self.store.write() as connection:
            return submit(connection, self.student_id, config).experiment_id

    def remaining(self) -> float:
        with self.store.read() as connection:
            summary = budget_summary(connection, self.student_id)
        assert summary.used_seconds + summary.remaining_seconds == summary.total_budget_seconds
        return summary.remaining_seconds

    def status(self, experiment_id: int) -> object:
        with self.store.read() as connection:
            found = get_experiment(connection, self.student_id, experiment_id)
        assert found is not None
        return found.status


def claimed(store: Database, worker: str = "w") -> Job:
    with store.write() as connection:
        job = claim(connection, worker)
    assert job is not None
    return job


def finished(store: Database, job: Job, outcome: Outcome) -> bool:
    with store.write() as connection:
        return finish(connection, job, outcome)


@pytest.fixture
def ann(store: Database) -> Desk:
    with store.read() as connection:
        return Desk(store, student_named(connection, "ann").id)


@pytest.fixture
def bob(store: Database) -> Desk:
    with store.read() as connection:
        return Desk(store, student_named(connection, "bob").id)


@pytest.fixture(autouse=True)
def every_second_is_explained(store: Database) -> object:
    yield
    with store.read() as connection:
        assert audit(connection) == []


def test_a_reservation_is_paid_by_what_was_used(ann: Desk, bob: Desk, store: Database) -> None:
    number = ann.submit(100.1)
    assert ann.remaining() == 899.9
    assert isinstance(ann.status(number), Queued)
    job = claimed(store)
    assert (job.experiment_id, job.student, job.config) == (
        number,
        "ann",
        training_config(max_runtime_seconds=100.1),
    )
    with store.write() as connection:
        assert heartbeat(connection, job, (5.0, 4.5))
    running = ann.status(number)
    assert isinstance(running, Running)
    assert (running.run_id, running.val_losses) == (job.run_id, (5.0, 4.5))
    assert ann.remaining() == 899.9
    assert finished(store, job, Outcome(40.25, (5.0, 4.5, 4.25)))
    done = ann.status(number)
    assert isinstance(done, Completed)
    assert (done.val_losses, done.used_runtime_seconds) == ((5.0, 4.5, 4.25), 40.25)
    assert done.queued_at <= done.dispatched_at <= done.completed_at
    assert (ann.remaining(), bob.remaining()) == (959.75, 1000.0)


@pytest.mark.parametrize(
    ("outcome", "paid"),
    [
        (Outcome(0.2, (4.0,)), 1.0),
        (Outcome(103.0, (4.0,)), 100.0),
        (Outcome(30.0, (), "diverged"), 30.0),
        (Outcome(102.5, (4.0,), TIMEOUT), 100.0),
        (Outcome(99.0, (4.0,), TIMEOUT), 100.0),
    ],
)
def test_what_is_paid(outcome: Outcome, paid: float, ann: Desk, store: Database) -> None:
    number = ann.submit()
    assert finished(store, claimed(store), outcome)
    assert ann.remaining() == 1000 - paid
    status = ann.status(number)
    if outcome.failure is None:
        assert isinstance(status, Completed)
        return
    assert isinstance(status, Failed)
    assert status.used_runtime_seconds == outcome.used_seconds
    if outcome.failure == TIMEOUT:
        assert status.reason == Timeout(partial_val_losses=outcome.val_losses)
    else:
        assert status.reason == Unexpected(failure=outcome.failure)


def test_the_budget_is_refused_before_the_same_config_is(ann: Desk, bob: Desk) -> None:
    number = ann.submit(600)
    with pytest.raises(InsufficientBudgetError) as refused:
        ann.submit(600)
    assert refused.value.summary.remaining_seconds == 400
    with pytest.raises(InsufficientBudgetError):
        ann.submit(400.000001, seed=1)
    ann.submit(400, seed=1)
    assert ann.remaining() == 0
    assert bob.submit(600) != number


def test_the_same_config_is_one_experiment_even_after_it_failed(ann: Desk, store: Database) -> None:
    number = ann.submit()
    for _ in range(2):
        with pytest.raises(AlreadyExistsError) as refused:
            ann.submit()
        assert refused.value.experiment_id == number
        if ann.remaining() == 900:
            finished(store, claimed(store), Outcome(20, (), "diverged"))
    assert ann.remaining() == 980


def test_what_waits_is_cancelled_and_given_back(ann: Desk, bob: Desk, store: Database) -> None:
    number = ann.submit()
    with store.write() as connection:
        assert cancel(connection, bob.student_id, number) is None
        summary = cancel(connection, ann.student_id, number)
    assert summary is not None
    assert ann.remaining() == summary.remaining_seconds == 1000
    with store.read() as connection:
        assert list_experiments(connection, ann.student_id) == []
        assert not has_work(connection)
    again = ann.submit()
    assert again > number
    job = claimed(store)
    with store.write() as connection, pytest.raises(NotQueuedError, match="running"):
        cancel(connection, ann.student_id, again)
    finished(store, job, Outcome(5, (4.0,)))


def test_another_students_experiments_are_not_there(ann: Desk, bob: Desk, store: Database) -> None:
    number = ann.submit()
    with store.read() as connection:
        assert get_experiment(connection, bob.student_id, number) is None
        assert list_experiments(connection, bob.student_id) == []
        for none in (number + 1, 0, -1, 2**63, 10**30):
            assert get_experiment(connection, ann.student_id, none) is None


def test_fewest_running_first_then_the_oldest(ann: Desk, bob: Desk, store: Database) -> None:
    first = [ann.submit(seed=seed) for seed in range(3)]
    second = [bob.submit(seed=seed) for seed in range(2)]
    order = [claimed(store).experiment_id for _ in range(5)]
    assert order == [first[0], second[0], first[1], second[1], first[2]]
    with store.write() as connection:
        assert claim(connection, "w") is None
        assert release_jobs_of(connection, "w") == 5


def test_a_silent_workers_job_is_queued_again_and_paid_once(
    ann: Desk, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = ann.submit()
    queued = ann.status(number)
    assert isinstance(queued, Queued)
    queued_at = queued.queued_at
    first = claimed(store)
    with store.read() as connection:
        assert not has_work(connection)
    monkeypatch.setattr(queue, "now", lambda: now() + timedelta(seconds=queue.LEASE_SECONDS + 1))
    second = claimed(store)
    assert second.experiment_id == number
    assert second.run_id != first.run_id
    with store.write() as connection:
        assert not heartbeat(connection, first, (9.0,))
    assert not finished(store, first, Outcome(50, (9.0,)))
    assert finished(store, second, Outcome(60, (4.0,)))
    assert not finished(store, second, Outcome(70, (3.0,)))
    status = ann.status(number)
    assert isinstance(status, Completed)
    assert (status.queued_at, status.run_id, status.val_losses) == (queued_at, second.run_id, (4.0,))
    assert ann.remaining() == 940


def test_a_clock_set_back_leaves_no_job_behind(
    ann: Desk, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann.submit()
    claimed(store)
    monkeypatch.setattr(queue, "now", lambda: now() - timedelta(hours=1))
    assert finished(store, claimed(store), Outcome(60, (4.0,)))


def test_a_dead_workers_job_is_plainly_queued_again(ann: Desk, store: Database) -> None:
    number = ann.submit()
    before = ann.status(number)
    job = claimed(store, "dead")
    with store.write() as connection:
        heartbeat(connection, job, (5.0,))
        assert release_jobs_of(connection, "another") == 0
        assert release_jobs_of(connection, "dead") == 1
    assert ann.status(number) == before


def test_a_job_that_workers_die_of_fails_and_costs_a_second(ann: Desk, store: Database) -> None:
    number = ann.submit()
    for _ in range(queue.MAX_ATTEMPTS):
        claimed(store)
        with store.write() as connection:
            release_jobs_of(connection, "w")
    status = ann.status(number)
    assert isinstance(status, Failed)
    assert isinstance(status.reason, Unexpected)
    assert ann.remaining() == 999


def test_refunds_and_grants(ann: Desk, store: Database) -> None:
    number = ann.submit()
    with store.write() as connection, pytest.raises(UserError, match="paid"):
        refund_experiment(connection, number, None, "")
    finished(store, claimed(store), Outcome(50, (4.0,)))
    with store.write() as connection:
        assert refund_experiment(connection, number, 20.0, "a node failed") == 20
        assert refund_experiment(connection, number, None, "the rest") == 30
        for amount in (None, 1.0, -1.0):
            with pytest.raises(UserError, match="paid"):
                refund_experiment(connection, number, amount, "")
        with pytest.raises(UserError, match="none of this number"):
            refund_experiment(connection, 10**6, None, "")
        grant(connection, ann.student_id, 500.0, "an extension")
    assert ann.remaining() == 1500


def test_nobody_changes_the_ledger(ann: Desk, store: Database) -> None:
    ann.submit()
    for change in ("UPDATE ledger SET amount = 0", "DELETE FROM ledger"):
        with pytest.raises(Exception, match="append-only"), store.write() as connection:
            connection.exec_driver_sql(change)


def test_an_audit_finds_what_does_not_add_up(ann: Desk, store: Database) -> None:
    number = ann.submit()
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE experiments SET reserved = 1")
    with store.read() as connection:
        assert [line.partition(":")[0] for line in audit(connection)] == [f"experiment {number}"]
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE experiments SET reserved = 100000000000")


def test_the_last_final_submission_counts(ann: Desk, bob: Desk, store: Database) -> None:
    interval = Interval(low=2.0, high=3.0, level=0.8)
    config = training_config(model_seed=7)
    with store.write() as connection:
        assert last_final(connection, ann.student_id) is None
        save_final(connection, ann.student_id, training_config(), 3.0)
        save_final(connection, ann.student_id, config, 2.5)
        save_final(connection, ann.student_id, config, 2.25, interval)
        save_final(connection, bob.student_id, config, 1.5)
    with store.read() as connection:
        last = last_final(connection, ann.student_id)
        assert last is not None
        assert (last.config, last.predicted_final_loss, last.interval) == (config, 2.5, None)
        assert {key: one.predicted_final_loss for key, one in all_finals(connection).items()} == {
            ann.student_id: 2.5,
            bob.student_id: 1.5,
        }
        of_interval = last_final(connection, ann.student_id, with_interval=True)
        assert of_interval is not None
        assert (of_interval.predicted_final_loss, of_interval.interval) == (2.25, interval)


def test_a_deadline(store: Database) -> None:
    at = now() + timedelta(hours=1)
    with store.write() as connection:
        assert frozen_since(connection) is None
        freeze(connection, at)
        assert (deadline(connection), frozen_since(connection)) == (at, None)
        past = at - timedelta(hours=2)
        freeze(connection, past)
        assert frozen_since(connection) == past
        freeze(connection, None)
        assert deadline(connection) is None


def test_keys_are_hashed_replaced_and_withdrawn(lab: Lab, url: str, store: Database) -> None:
    keys = lab.keys()
    with store.read() as connection:
        found = student_of_key(connection, lab.key_hash(keys["ann"]))
        assert found is not None
        assert found.name == "ann"
        hashes = {row[0] for row in connection.exec_driver_sql("SELECT key_hash FROM students")}
    assert not hashes & set(keys.values())
    new = {"ann": keys["bob"], "bob": keys["ann"], "zoe": "12345678"}
    (lab.folder / KEYS).write_text(keys_text(new))
    open_store(lab, url).close()
    with store.read() as connection:
        names = {
            key: found and found.name
            for key in (*keys.values(), "12345678")
            for found in [student_of_key(connection, lab.key_hash(key))]
        }
        assert names == {
            keys["ann"]: "bob", keys["bob"]: "ann", keys["eve"]: None, "12345678": "zoe",
        }  # fmt: skip
        assert [student.name for student in all_students(connection)] == ["ann", "bob", "eve", "zoe"]
        assert budget_summary(connection, all_students(connection)[-1].id).remaining_seconds == 1000


def test_another_labs_database_is_refused(store: Database, url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="another lab"):
        open_store(make_lab(tmp_path / "other"), url)
