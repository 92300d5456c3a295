"""isoflop lab refund"""

from __future__ import annotations

from dataclasses import dataclass

from isoflop.arguments import parse
from isoflop.base.errors import UserError
from isoflop.base.fields import check_fields
from isoflop.base.formatting import pluralize
from isoflop.commands.lab.options import LabOptions
from isoflop.labs.contract.fields import BudgetSeconds
from isoflop.labs.contract.instructor import Reason


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
    from isoflop.labs.store.ledger import budget_summary
    from isoflop.labs.store.refunds import grant, refund_experiment
    from isoflop.labs.store.students import student_named

    given = parse(Refund, argv, "lab refund")
    if (given.experiment is None) == (given.student is None):
        raise UserError("give --experiment NUMBER, or --student NAME --seconds S")
    _, store = given.open()
    with store.write() as connection:
        if given.experiment is not None:
            amount = refund_experiment(connection, given.experiment, given.seconds, given.reason)
            print(f"experiment {given.experiment}: {pluralize(amount, 'second', 'g')} given back")
        elif given.student is not None:
            if given.seconds is None:
                raise UserError("--seconds: how many are added to the student's budget?")
            student = student_named(connection, given.student)
            grant(connection, student.id, given.seconds, given.reason)
            remaining = budget_summary(connection, student.id).remaining_seconds
            print(f"{student.name}: {pluralize(remaining, 'second', 'g')} left")
    store.close()
    return 0
