"""isoflop lab grade"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isoflop.arguments import parse
from isoflop.base.errors import UserError
from isoflop.commands.lab.options import LabOptions

if TYPE_CHECKING:
    from isoflop.labs.lab import Lab
    from isoflop.labs.store.database import Database


@dataclass(frozen=True, kw_only=True)
class Grade(LabOptions):
    """Grades the final submissions by each student's own law: regret, and error of the predicted loss."""

    out: Path
    """The folder for class.csv, class.html and a page for each student."""


def run(argv: list[str]) -> int:
    """Writes the report, and prints the class in a few numbers."""
    from isoflop.commands.jax_setup import set_up_jax

    given = parse(Grade, argv, "lab grade")
    lab, store = given.open()
    set_up_jax()
    grade_and_report(lab, store, given.out)
    store.close()
    print(
        f"{given.out / 'class.html'}, {given.out / 'class.csv'}, a page for each in {given.out / 'students'}"
    )
    return 0


def grade_and_report(lab: Lab, store: Database, out: Path) -> None:
    """Grades a class, writes its report into a folder, publishes the ranks, and prints a few numbers."""
    from isoflop.labs.grading.grade import grade_class
    from isoflop.labs.grading.report import class_summary, write_report
    from isoflop.labs.own_fits import fit_class
    from isoflop.labs.store.leaderboard import Place, publish

    grades = grade_class(lab, store)
    try:
        write_report(out, grades, fit_class(lab, store), lab)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror}") from None
    places = [
        Place(grade.student, grade.standing.rank, grade.standing.mean, len(grade.standing.values))
        for grade in grades
        if grade.standing is not None
    ]
    with store.write() as connection:
        publish(connection, places)
    print(class_summary(grades).text())
