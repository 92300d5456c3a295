"""isoflop lab build"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from isoflop.arguments import parse

INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class Build:
    """Executes the course's notebooks, and writes an instructor's and a student's edition of each."""

    out: Path
    """The new folder for instructor/ and student/."""
    student: str = "instructor"
    """Whose tables and answers the instructor's edition shows: a student's name as they give it."""
    small: bool = False
    """Train at a hundredth of the size: shows in a minute or two that everything runs."""


def run(argv: list[str]) -> int:
    """Writes both editions."""
    from isoflop.labs.editions import build

    given = parse(Build, argv, "lab build")
    try:
        build(given.out, given.student, lambda line: print(line, flush=True), given.small)
    except KeyboardInterrupt as stopped:
        print(f"stopped: {given.out} is incomplete; delete it before you build there again", file=sys.stderr)
        return stopped.args[0] if stopped.args else INTERRUPTED
    print(f"with answers, to keep:  {given.out / 'instructor'}")
    print(f"to hand out:            {given.out / 'student'}")
    return 0
