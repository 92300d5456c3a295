"""isoflop lab refund"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from isoflop.arguments import parse
from isoflop.base.errors import UserError
from isoflop.base.fields import check_fields
from isoflop.base.formatting import pluralize
from isoflop.commands.lab.options import LabOptions
from isoflop.labs.contract.fields import BudgetSeconds
from isoflop.labs.contract.instructor import Reason

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, kw_only=True)
class Refund(LabOptions):
    """Gives back what a run paid, or adds to a student's budget; the ledger keeps it, with the reason."""

    experiment: int | None = None
    """The number of the run."""
    student: str | None = None
    """Or a student, whose budget --seconds is added to."""
    seconds: BudgetSeconds | None = None
    """How many; of a run, all that it paid if not given."""
    reason: Reason
    """Why, for the ledger."""

    def __post_init__(self) -> None:
        check_fields(self)


def run(argv: list[str]) -> int:
    """Writes the entry."""
    given = parse(Refund, argv, "lab refund")
    if (given.experiment is None) == (given.student is None):
        raise UserError("give --experiment NUMBER, or --student NAME --seconds S")
    if given.student is not None and given.seconds is None:
        raise UserError("--seconds: how many are added to the student's budget?")
    _, store = given.open()
    with store.write() as connection:
        said = _give(connection, given)
    store.close()
    print(said)  # once it is on the disk
    return 0


def _give(connection: Connection, given: Refund) -> str:
    """Writes the entry; what came of it."""
    from isoflop.labs.store.ledger import budget_summary
    from isoflop.labs.store.refunds import grant, refund_experiment
    from isoflop.labs.store.students import student_named

    if given.experiment is not None:
        amount = refund_experiment(connection, given.experiment, given.seconds, given.reason)
        return f"experiment {given.experiment}: {pluralize(amount, 'second', 'g')} given back"
    assert given.student is not None
    assert given.seconds is not None
    student = student_named(connection, given.student)
    grant(connection, student.id, given.seconds, given.reason)
    remaining = budget_summary(connection, student.id).remaining_seconds
    return f"{student.name}: {pluralize(remaining, 'second', 'g')} left"
