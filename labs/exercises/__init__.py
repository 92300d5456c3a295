"""Exercises of the course's notebooks: tables of each student's own, and checks that hint at what went wrong.

A check is the student's own help and no exam: whoever reads this package finds how its answer comes about.
What counts is submitted to the lab's server.
"""

from __future__ import annotations

from isoflop.base.errors import UserError
from isoflop.labs.exercises import bounds, budget, counting, inference, isoflops, lies, rates, unseen
from isoflop.labs.exercises.exercise import Exercise as Exercise
from isoflop.labs.exercises.exercise import Exercises as Exercises
from isoflop.labs.exercises.exercise import Mistake as Mistake
from isoflop.labs.exercises.exercise import Verdict as Verdict

NOTEBOOKS = {
    "isoflops": isoflops,
    "counting": counting,
    "lies": lies,
    "budget": budget,
    "inference": inference,
    "unseen": unseen,
    "rates": rates,
    "bounds": bounds,
}


def exercises(notebook: str, student: str) -> Exercises:
    """The student's own tables and checks of a notebook.

    >>> import isoflop
    >>> mine = isoflop.exercises("isoflops", "ada")
    >>> mine.check(1, None)
    No answer yet.

    Raises:
        UserError: no such notebook, or no name.
    """
    if notebook not in NOTEBOOKS:
        raise UserError(f"unknown notebook {notebook!r}: known are {', '.join(NOTEBOOKS)}")
    if not isinstance(student, str) or not student.strip():
        raise UserError("whose exercises? Give a name: each has tables of their own")
    return NOTEBOOKS[notebook].make(" ".join(student.split()).casefold())
