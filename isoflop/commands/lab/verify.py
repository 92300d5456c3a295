"""isoflop lab verify"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from isoflop.arguments import parse
from isoflop.commands.lab.options import LabOptions


@dataclass(frozen=True)
class Verify(LabOptions):
    """Adds up the ledger, and holds it to what became of each run. Exit status 1: a second is unexplained."""


def run(argv: list[str]) -> int:
    """Prints what does not add up, or that all does."""
    from isoflop.labs.store.audit import audit
    from isoflop.labs.store.experiments import list_experiments
    from isoflop.labs.store.ledger import budget_summary
    from isoflop.labs.store.students import all_students

    _, store = parse(Verify, argv, "lab verify").open()
    with store.read() as connection:
        wrong = audit(connection)
        students = all_students(connection)
        used = sum(budget_summary(connection, student.id).used_seconds for student in students)
        runs = sum(len(list_experiments(connection, student.id)) for student in students)
    store.close()
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong:
        return 1
    print(f"{len(students)} students, {runs} runs, {used:.6g} seconds used: the ledger explains every one")
    return 0
