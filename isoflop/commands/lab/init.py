"""isoflop lab init"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from isoflop.arguments import parse
from isoflop.base.errors import UserError


@dataclass(frozen=True)
class Init:
    """Makes a lab's folder, with a key of eight random digits for each student."""

    folder: tyro.conf.Positional[Path]
    """The new folder."""
    students: int | None = None
    """How many students; they are called student-001 and so on."""
    roster: Path | None = None
    """A file of names instead, one a line or in a CSV's first column."""
    backend: str = "surrogate"
    """What answers: surrogate (a law of each student's own, at once) or table (replays a run table)."""
    table: Path | None = None
    """The run table that --backend table replays."""
    budget: float = 43_200.0
    """Seconds that each student has."""
    target: float | None = None
    """Seconds that the final submission's run may cost; four budgets if not given."""
    budget_unit: Literal["seconds", "flops"] = "seconds"
    """What a second is: a reference machine's, or its FLOPs per second, in which the price is exact."""


def run(argv: list[str]) -> int:
    """Makes the lab, and says what to do next."""
    from isoflop.labs.backends import check_backend
    from isoflop.labs.lab import KEYS, new_lab, new_lab_id
    from isoflop.labs.settings import TARGET_OVER_BUDGET, Settings

    given = parse(Init, argv, "lab init")
    names = _names(given)
    settings = Settings(
        lab_id=new_lab_id(),
        backend=given.backend,
        budget_seconds=given.budget,
        budget_unit=given.budget_unit,
        target_seconds=TARGET_OVER_BUDGET * given.budget if given.target is None else given.target,
        table=None if given.table is None else str(given.table.absolute()),
    )
    check_backend(given.folder, settings)
    new_lab(given.folder, settings, names)
    print(f"a lab of {len(names)} student{'s' if len(names) > 1 else ''} in {given.folder}")
    print(f"  give each their key:  {given.folder / KEYS}")
    print(f"  serve it:             isoflop lab serve {given.folder}")
    print(f"  after the deadline:   isoflop lab grade {given.folder} --out {given.folder / 'grades'}")
    print("  keep a backup of the folder: keys and answer keys depend on the file `secret` in it")
    return 0


def _names(given: Init) -> list[str]:
    from isoflop.labs.roster import numbered, read_roster

    if given.students is not None and given.roster is None:
        return numbered(given.students)
    if given.roster is not None and given.students is None:
        return read_roster(given.roster)
    raise UserError("the students: give --students N, or --roster FILE")
