"""isoflop lab verify"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isoflop.arguments import parse
from isoflop.base.errors import UserError
from isoflop.commands.lab.options import LabOptions

if TYPE_CHECKING:
    from isoflop.labs.lab import Lab


@dataclass(frozen=True)
class Verify(LabOptions):
    """Adds up the ledger, and holds it to what became of each run. Exit status 1: something is not right."""

    write_up: Path | None = None
    """A student's text: also whose its receipts are, and which are forged."""


def run(argv: list[str]) -> int:
    """Prints what does not add up, or that all does."""
    from isoflop.labs.store.audit import audit
    from isoflop.labs.store.experiments import list_experiments
    from isoflop.labs.store.ledger import budget_summary
    from isoflop.labs.store.students import all_students

    given = parse(Verify, argv, "lab verify")
    lab, store = given.open()
    with store.read() as connection:
        wrong = audit(connection)
        students = all_students(connection)
        used = sum(budget_summary(connection, student.id).used_seconds for student in students)
        runs = sum(len(list_experiments(connection, student.id)) for student in students)
    store.close()
    if not wrong:
        print(
            f"{len(students)} students, {runs} runs, {used:.6g} seconds used: the ledger explains every one"
        )
    if given.write_up is not None:
        wrong += _wrong_receipts(lab, [student.name for student in students], given.write_up)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


def _wrong_receipts(lab: Lab, students: list[str], path: Path) -> list[str]:
    """Prints whose a text's receipts are; a line for each that is nobody's."""
    from isoflop.labs.receipts import check_receipts

    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"--write-up {path}: {error.strerror}") from None
    wrong = []
    for found in check_receipts(lab, students, text):
        run = f"run {found.experiment_id}, loss {found.loss}"
        if found.student is None:
            wrong.append(f"{run}: no receipt of this lab")
        else:
            print(f"{run}: {found.student}")
    return wrong
