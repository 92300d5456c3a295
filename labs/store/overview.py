"""What an instructor looks at: who has spent what, what runs and waits, and what has ended."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from isoflop.labs.contract.fields import now
from isoflop.labs.contract.messages import BudgetSummary
from isoflop.labs.store.finals import all_finals
from isoflop.labs.store.ledger import budget_summaries
from isoflop.labs.store.queue import LEASE_SECONDS
from isoflop.labs.store.tables import STATES, experiments, ledger, micros, moment, seconds, students

RECENT = 20
"""Ended runs that are listed."""


@dataclass(frozen=True)
class Spending:
    """One student. `counts`: experiments by state."""

    student: str
    budget: BudgetSummary
    counts: dict[str, int]
    has_final: bool


@dataclass(frozen=True)
class Run:
    """One experiment. `heartbeat_seconds`: since its worker was last heard of, of a running one; `stuck`:
    that is longer than a worker keeps silent, or it waits while nothing runs; `paid`: seconds that may be
    given back."""

    experiment_id: int
    student: str
    state: str
    queued_at: datetime
    heartbeat_seconds: float | None
    attempts: int
    evaluations: int
    reserved_seconds: float
    paid_seconds: float
    stuck: bool


def spending(connection: Connection) -> list[Spending]:
    """Every student, in the order of enrolment."""
    counts: dict[int, dict[str, int]] = defaultdict(lambda: dict.fromkeys(STATES, 0))
    by_state = select(experiments.c.student_id, experiments.c.state, func.count().label("n")).group_by(
        experiments.c.student_id, experiments.c.state
    )
    for row in connection.execute(by_state):
        counts[row.student_id][row.state] = row.n
    budgets = budget_summaries(connection)
    finals = all_finals(connection)
    return [
        Spending(row.name, budgets[row.id], counts[row.id], row.id in finals)
        for row in connection.execute(select(students).order_by(students.c.id))
    ]


def unfinished(connection: Connection) -> list[Run]:
    """What runs, then what waits, oldest first."""
    return _runs(connection, ("running", "queued"), newest_first=False, most=None)


def ended(connection: Connection) -> list[Run]:
    """The experiments that ended last."""
    return _runs(connection, ("completed", "failed"), newest_first=True, most=RECENT)


def _runs(
    connection: Connection, states: tuple[str, ...], *, newest_first: bool, most: int | None
) -> list[Run]:
    paid = (
        select(ledger.c.experiment_id, (-func.sum(ledger.c.amount)).label("paid"))
        .where(ledger.c.kind.in_(("charge", "refund")))
        .group_by(ledger.c.experiment_id)
        .subquery()
    )
    newest = (experiments.c.ended_at.desc(), experiments.c.id.desc())
    oldest = (experiments.c.state.desc(), experiments.c.queued_at, experiments.c.id)
    rows = connection.execute(
        select(experiments, students.c.name, func.coalesce(paid.c.paid, 0).label("paid"))
        .join(students, students.c.id == experiments.c.student_id)
        .outerjoin(paid, paid.c.experiment_id == experiments.c.id)
        .where(experiments.c.state.in_(states))
        .order_by(*(newest if newest_first else oldest))
        .limit(most)
    ).all()
    time = micros(now())
    runs_now = any(row.state == "running" for row in rows)

    def silence(lease_until: int | None) -> float | None:
        return None if lease_until is None else (time - lease_until) / 1e6 + LEASE_SECONDS

    def is_stuck(state: str, queued_at: int, silent: float | None) -> bool:
        waits = (time - queued_at) / 1e6
        idle = state == "queued" and not runs_now and waits > LEASE_SECONDS
        return idle or (silent is not None and silent > LEASE_SECONDS)

    return [
        Run(
            experiment_id=row.id,
            student=row.name,
            state=row.state,
            queued_at=moment(row.queued_at),
            heartbeat_seconds=(silent := silence(row.lease_until)),
            attempts=row.attempts,
            evaluations=len(json.loads(row.val_losses)),
            reserved_seconds=seconds(row.reserved),
            paid_seconds=seconds(int(row.paid)),
            stuck=is_stuck(row.state, row.queued_at, silent),
        )
        for row in rows
    ]
