"""isoflop lab data"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from isoflop.arguments import parse
from isoflop.base import durable
from isoflop.base.errors import UserError
from isoflop.base.formatting import pluralize
from isoflop.commands.lab.options import DATABASE_VARIABLE


@dataclass(frozen=True, kw_only=True)
class Data:
    """A student's runs as a run table: isoflop fit reads it."""

    lab: Path
    """The lab's folder."""
    student: str
    """The student's name, as in keys.csv."""
    out: Path
    """The CSV file to write, or to replace."""
    database: str | None = None
    """The lab's database, if it is not the one in its folder."""


def run(argv: list[str]) -> int:
    """Writes the table."""
    from isoflop.labs.export import run_table
    from isoflop.labs.lab import open_lab
    from isoflop.labs.store.experiments import list_experiments
    from isoflop.labs.store.opening import open_store
    from isoflop.labs.store.students import student_named

    given = parse(Data, argv, "lab data")
    lab = open_lab(given.lab)
    store = open_store(lab, given.database or os.environ.get(DATABASE_VARIABLE))
    with store.read() as connection:
        runs = list_experiments(connection, student_named(connection, given.student).id)
    store.close()
    if not runs:
        raise UserError(f"student {given.student!r}: has no runs yet, so that {given.out} is not written")
    try:
        durable.write(given.out, run_table(runs, lab.settings))
    except OSError as error:
        raise UserError(f"--out {given.out}: {error.strerror}") from None
    print(f"{pluralize(len(runs), 'run')} of {given.student} in {given.out}")
    return 0
