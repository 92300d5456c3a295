"""isoflop lab verify"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isoflop.arguments import parse
from isoflop.base.errors import UserError
from isoflop.base.formatting import pluralize
from isoflop.commands.lab.options import LabOptions

if TYPE_CHECKING:
    from isoflop.labs.receipts import Checked


@dataclass(frozen=True)
class Verify(LabOptions):
    """Adds up the ledger, and holds it to what became of each run. Exit status 1: something is not right."""

    write_up: Path | None = None
    """A student's text: also whose its receipts are, and which are forged."""


def run(argv: list[str]) -> int:
    """Prints what does not add up, or that all does."""
    from isoflop.labs.receipts import check_receipts
    from isoflop.labs.store.audit import audit
    from isoflop.labs.store.experiments import list_experiments
    from isoflop.labs.store.ledger import budget_summary
    from isoflop.labs.store.students import all_students

    given = parse(Verify, argv, "lab verify")
    lab, store = given.open()
    with store.read() as connection:
        unexplained = audit(connection)
        students = all_students(connection)
        used = sum(budget_summary(connection, student.id).used_seconds for student in students)
        runs = sum(len(list_experiments(connection, student.id)) for student in students)
    store.close()
    if not unexplained:
        print(
            f"{pluralize(len(students), 'student')}, {pluralize(runs, 'run')}, "
            f"{pluralize(used, 'second', '.6g')} used: the ledger explains every one"
        )
    for line in unexplained:
        print(line, file=sys.stderr)
    forged = []
    if given.write_up is not None:
        names = [student.name for student in students]
        forged = _print_receipts([*check_receipts(lab, names, _text(given.write_up))], given.write_up)
    return 1 if unexplained or forged else 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"--write-up {path}: {error.strerror}") from None


def _print_receipts(receipts: list[Checked], path: Path) -> list[Checked]:
    """Prints whose a text's receipts are; returns those that are nobody's. Raises `UserError` without any."""
    if not receipts:
        raise UserError(
            f"--write-up {path}: has no receipt in it: students copy theirs from GET /experiment/ID/receipt"
        )
    for one in receipts:
        run = f"run {one.experiment_id}, loss {one.loss}"
        if one.student is None:
            print(f"{run}: no receipt of this lab", file=sys.stderr)
        else:
            print(f"{run}: {one.student}")
    return [one for one in receipts if one.student is None]
