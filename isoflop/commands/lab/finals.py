"""isoflop lab finals"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from isoflop.arguments import parse
from isoflop.base.fields import check_fields
from isoflop.base.formatting import pluralize
from isoflop.commands.lab.options import LabOptions

if TYPE_CHECKING:
    from isoflop.labs.backends.backend import Outcome
    from isoflop.labs.grading.finals import FinalJob


@dataclass(frozen=True)
class Finals(LabOptions):
    """Runs everybody's final submission at the target budget, after the freeze; isoflop lab grade then ranks
    the class. Stopped or killed, started again it goes on: no run that has ended is made twice."""

    seeds: Annotated[int, Field(ge=1, le=100)] = 2
    """Runs of each submission: its own model_seed, and the ones after it. Two or more show the noise."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes that run them at the same time. Seconds are measured: on one machine, workers slow each
    other down."""

    def __post_init__(self) -> None:
        check_fields(self)


def run(argv: list[str]) -> int:
    """Runs what is still to be run, a line each. Exit status 1: something failed that no config is to blame
    for, and nothing is recorded of it."""
    from isoflop.labs.grading.finals import jobs_to_run, run_finals

    given = parse(Finals, argv, "lab finals")
    lab, store = given.open()
    with store.read() as connection:
        jobs = jobs_to_run(connection, lab.settings, given.seeds)
    ended = 0

    def announce(job: FinalJob, outcome: Outcome) -> None:
        nonlocal ended
        ended += 1
        print(f"{ended} of {len(jobs)}: {job.student}, seed {job.config.model_seed}: {_said(outcome)}")
        sys.stdout.flush()

    failed = run_finals(lab, store, jobs, given.workers, announce)
    store.close()
    if failed:
        print(f"{pluralize(failed, 'run')} failed: the reasons stand above; the next call tries again")
        return 1
    print(f"all is run; the ranks are in isoflop lab grade {given.folder} --out {given.folder / 'grades'}")
    return 0


def _said(outcome: Outcome) -> str:
    loss = f"loss {outcome.val_losses[-1]:.4f}" if outcome.val_losses else "no loss"
    ending = "" if outcome.failure is None else f" ({outcome.failure})"
    return f"{loss} after {pluralize(outcome.used_seconds, 'second', '.6g')}{ending}"
