"""The instructor's corrections: seconds given back, each with a line in the ledger."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from isoflop.base.errors import UserError
from isoflop.labs.store.ledger import enter
from isoflop.labs.store.tables import experiments, ledger, nanos, seconds


def refund_experiment(connection: Connection, experiment_id: int, amount: float | None, note: str) -> float:
    """Gives back what an experiment paid, or `amount` seconds of it; returns how many.

    Within a writing transaction. Raises `UserError` where it paid less, earlier refunds counted.
    """
    student_id = connection.execute(
        select(experiments.c.student_id).where(experiments.c.id == experiment_id)
    ).scalar()
    if student_id is None:
        raise UserError(f"experiment {experiment_id}: the lab has none of this number")
    paid = -_sum(connection, experiment_id, "charge") - _sum(connection, experiment_id, "refund")
    given = paid if amount is None else nanos(amount)
    if not 0 < given <= paid:
        raise UserError(f"experiment {experiment_id}: paid {seconds(paid)} seconds that can be given back")
    enter(connection, student_id, "refund", given, experiment_id, note)
    return seconds(given)


def grant(connection: Connection, student_id: int, amount: float, note: str) -> None:
    """Adds seconds to a student's budget, within a writing transaction."""
    if amount <= 0:
        raise UserError(f"--seconds {amount}: must be above 0")
    enter(connection, student_id, "grant", nanos(amount), None, note)


def _sum(connection: Connection, experiment_id: int, kind: str) -> int:
    of_kind = (ledger.c.experiment_id == experiment_id, ledger.c.kind == kind)
    return int(
        connection.execute(select(func.coalesce(func.sum(ledger.c.amount), 0)).where(*of_kind)).scalar_one()
    )
