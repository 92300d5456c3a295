"""Jobs: claimed by a worker under a lease, kept by heartbeats, paid once, queued again when a worker dies."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select, update

from isoflop.labs.backends.backend import TIMEOUT, Outcome
from isoflop.labs.contract.fields import now
from isoflop.labs.contract.statuses import Timeout, Unexpected
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.store.ledger import enter
from isoflop.labs.store.tables import experiments, micros, nanos, students

LEASE_SECONDS = 20.0
"""How long a job stays a silent worker's."""
MAX_ATTEMPTS = 3
"""Workers that may die of a job."""
MIN_CHARGE_SECONDS = 1.0


@dataclass(frozen=True)
class Job:
    """An experiment that a worker has. `run_id`: this attempt's, without which nothing of it is accepted."""

    experiment_id: int
    run_id: str
    student: str
    config: TrainingConfig


def has_work(connection: Connection) -> bool:
    """Whether `claim` would find something to do: a look that takes no lock."""
    waiting = or_(experiments.c.state == "queued", _lease_is_over())
    return connection.execute(select(experiments.c.id).where(waiting).limit(1)).first() is not None


def claim(connection: Connection, worker: str) -> Job | None:
    """The next job, within a writing transaction: of whoever has fewest running, then the oldest."""
    for row in connection.execute(select(experiments).where(_lease_is_over())).all():
        _queue_again(connection, row)
    running = (
        select(experiments.c.student_id, func.count().label("n"))
        .where(experiments.c.state == "running")
        .group_by(experiments.c.student_id)
        .subquery()
    )
    row = connection.execute(
        select(experiments.c.id, experiments.c.config, students.c.name)
        .join(students, students.c.id == experiments.c.student_id)
        .outerjoin(running, running.c.student_id == experiments.c.student_id)
        .where(experiments.c.state == "queued")
        .order_by(func.coalesce(running.c.n, 0), experiments.c.queued_at, experiments.c.id)
        .limit(1)
    ).first()
    if row is None:
        return None
    job = Job(row.id, uuid.uuid4().hex, row.name, TrainingConfig.model_validate_json(row.config))
    connection.execute(
        update(experiments)
        .where(experiments.c.id == row.id)
        .values(
            state="running",
            run_id=job.run_id,
            worker=worker,
            dispatched_at=micros(now()),
            lease_until=_lease_end(),
            attempts=experiments.c.attempts + 1,
        )
    )
    return job


def heartbeat(connection: Connection, job: Job, val_losses: tuple[float, ...]) -> bool:
    """Prolongs the lease and records the losses so far; False where the job is no longer this worker's."""
    kept = connection.execute(
        update(experiments)
        .where(*_held(job))
        .values(lease_until=_lease_end(), val_losses=json.dumps(val_losses))
    )
    return kept.rowcount == 1


def finish(connection: Connection, job: Job, outcome: Outcome) -> bool:
    """Records how a job ended and pays for it, within a writing transaction.

    False, and nothing is recorded or paid, where the job is no longer this worker's.
    """
    row = connection.execute(select(experiments).where(*_held(job))).first()
    if row is None:
        return False
    _finish(connection, row, outcome)
    return True


def release_jobs_of(connection: Connection, worker: str) -> int:
    """Queues again what a worker had that is known to be dead; how many there were."""
    held = (experiments.c.state == "running", experiments.c.worker == worker)
    rows = connection.execute(select(experiments).where(*held)).all()
    for row in rows:
        _queue_again(connection, row)
    return len(rows)


def charged(outcome: Outcome, reserved: int) -> int:
    """What an outcome pays of its reservation, in nanoseconds: a timeout all of it, others what they used, at
    least a second."""
    if outcome.failure == TIMEOUT:
        return reserved
    return min(max(nanos(outcome.used_seconds), nanos(MIN_CHARGE_SECONDS)), reserved)


def _finish(connection: Connection, row: Row[Any], outcome: Outcome) -> None:
    reason = None
    if outcome.failure == TIMEOUT:
        reason = Timeout(partial_val_losses=outcome.val_losses)
    elif outcome.failure is not None:
        reason = Unexpected(failure=outcome.failure)
    connection.execute(
        update(experiments)
        .where(experiments.c.id == row.id)
        .values(
            state="completed" if reason is None else "failed",
            val_losses=json.dumps(outcome.val_losses),
            used_seconds=outcome.used_seconds,
            ended_at=micros(now()),
            lease_until=None,
            reason=None if reason is None else reason.model_dump_json(),
        )
    )
    enter(connection, row.student_id, "release", row.reserved, row.id)
    enter(connection, row.student_id, "charge", -charged(outcome, row.reserved), row.id)


def _queue_again(connection: Connection, row: Row[Any]) -> None:
    """Puts a dead worker's job back where it was in the queue; one that workers die of fails."""
    if row.attempts >= MAX_ATTEMPTS:
        why = f"the worker died, {row.attempts} times in a row"
        _finish(connection, row, Outcome(0.0, (), why))
        return
    connection.execute(
        update(experiments)
        .where(experiments.c.id == row.id)
        .values(
            state="queued", run_id=None, worker=None, dispatched_at=None, lease_until=None, val_losses="[]"
        )
    )


def _held(job: Job) -> tuple[Any, ...]:
    return (
        experiments.c.id == job.experiment_id,
        experiments.c.run_id == job.run_id,
        experiments.c.state == "running",
    )


def _lease_end() -> int:
    return micros(now()) + int(LEASE_SECONDS * 1e6)


def _lease_is_over() -> Any:
    """A lease that ends later than any given now is of a clock that was set back."""
    until, time = experiments.c.lease_until, micros(now())
    over = or_(until < time, until > time + 2 * int(LEASE_SECONDS * 1e6))
    return (experiments.c.state == "running") & over
