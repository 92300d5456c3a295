"""isoflop lab grade"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from isoflop.arguments import parse
from isoflop.base.errors import UserError
from isoflop.commands.lab.options import LabOptions


@dataclass(frozen=True, kw_only=True)
class Grade(LabOptions):
    """Grades the final submissions by each student's own law: regret, and error of the predicted loss."""

    out: Path
    """The folder for class.csv and class.html."""


def run(argv: list[str]) -> int:
    """Writes the report, and prints the class in a few numbers."""
    from isoflop.labs.grading.grade import grade_class
    from isoflop.labs.grading.report import class_summary, write_report

    given = parse(Grade, argv, "lab grade")
    lab, store = given.open()
    grades = grade_class(lab, store)
    store.close()
    try:
        write_report(given.out, grades, lab)
    except OSError as error:
        raise UserError(f"--out {given.out}: {error.strerror}") from None
    print(class_summary(grades).text())
    print(f"{given.out / 'class.html'} and {given.out / 'class.csv'}")
    return 0
