"""The ledger of seconds: entries are only added, and a budget is their sum."""

from __future__ import annotations

from sqlalchemy import Connection, case, func, insert, select

from isoflop.labs.contract.fields import now
from isoflop.labs.contract.messages import BudgetSummary
from isoflop.labs.store.tables import ledger, micros, seconds

GRANTED = func.coalesce(func.sum(case((ledger.c.kind == "grant", ledger.c.amount), else_=0)), 0)
REMAINING = func.coalesce(func.sum(ledger.c.amount), 0)
"""Of some entries, nanoseconds."""


def enter(
    connection: Connection,
    student_id: int,
    kind: str,
    amount: int,
    experiment_id: int | None = None,
    note: str = "",
) -> None:
    """Adds an entry. `amount`: nanoseconds that it adds to what remains; negative where it takes."""
    connection.execute(
        insert(ledger).values(
            at=micros(now()),
            student_id=student_id,
            experiment_id=experiment_id,
            kind=kind,
            amount=amount,
            note=note,
        )
    )


def granted_and_remaining(connection: Connection, student_id: int) -> tuple[int, int]:
    """What a student was given, and what remains of it, in nanoseconds."""
    sums = select(GRANTED, REMAINING).where(ledger.c.student_id == student_id)
    granted, remaining = connection.execute(sums).one()
    return int(granted), int(remaining)  # PostgreSQL's sums are decimals


def budget_summary(connection: Connection, student_id: int) -> BudgetSummary:
    """A student's budget, as the contract answers it."""
    return _summary(*granted_and_remaining(connection, student_id))


def budget_summaries(connection: Connection) -> dict[int, BudgetSummary]:
    """By student's id, the budgets of all who were given one."""
    sums = select(ledger.c.student_id, GRANTED, REMAINING).group_by(ledger.c.student_id)
    return {student_id: _summary(int(g), int(r)) for student_id, g, r in connection.execute(sums)}


def _summary(granted: int, remaining: int) -> BudgetSummary:
    return BudgetSummary(
        used_seconds=seconds(granted - remaining),
        remaining_seconds=seconds(remaining),
        total_budget_seconds=seconds(granted),
    )
