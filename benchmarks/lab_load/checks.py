"""What a class was told against what the lab remembers: nothing lost, doubled, overspent or charged twice."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import text

from benchmarks.lab_load.students import BUDGET_SECONDS, Student
from isoflop.labs.lab import Lab
from isoflop.labs.store.audit import audit
from isoflop.labs.store.database import Database, open_database

DRAIN_SECONDS = 400.0
"""What the queue may take to run empty."""
UNFINISHED = text("SELECT count(*) FROM experiments WHERE state IN ('queued', 'running')")
CHARGES = text("SELECT count(*), count(DISTINCT experiment_id) FROM ledger WHERE kind = 'charge'")


def drain(lab: Lab, database: str) -> float:
    """Waits until all runs have ended; how many seconds. Ends the benchmark where they never do."""
    store, began = open_database(database, lab.settings.lab_id), time.monotonic()
    while n := _first(store, UNFINISHED)[0]:
        if time.monotonic() - began > DRAIN_SECONDS:
            raise SystemExit(f"benchmarks.lab_load: {n} runs have not ended after {DRAIN_SECONDS:g} seconds")
        time.sleep(0.2)
    store.close()
    return time.monotonic() - began


def check(students: list[Student], lab: Lab, database: str) -> tuple[dict[str, int], list[str]]:
    """Counts of what was held to the books, and a line for each thing that is wrong."""
    wrong = [line for student in students for line in student.wrong]
    listed = {student.name: student.look_at_runs() for student in students}
    for student in students:
        wrong += _wrong_runs(student, listed[student.name]) + _wrong_budget(student, listed[student.name])
    wrong += [line for student in students for line in student.wrong if line not in wrong]
    store = open_database(database, lab.settings.lab_id)
    with store.read() as connection:
        wrong += audit(connection)
    runs = [run for own in listed.values() for run in own]
    charges = tuple(_first(store, CHARGES))
    store.close()
    if charges != (len(runs), len(runs)):
        wrong.append(f"{len(runs)} runs, and {charges} charges and runs that were charged")
    given_up = [run for run in runs if "died" in str(run["status"].get("reason"))]
    timeouts = [run for run in runs if "timeout" in str(run["status"].get("reason"))]
    counts = {
        "runs": len(runs),
        "timeouts": len(timeouts),
        "died_three_times": len(given_up),
        "refused_by_budget": sum(student.refused for student in students),
        "wrong": len(wrong),
    }
    return counts, wrong


def _wrong_runs(student: Student, runs: list[dict[str, Any]]) -> list[str]:
    """What was accepted and is not there, is there twice, or was never submitted."""
    found = sorted((run["training_config"]["model_seed"], run["experiment_id"]) for run in runs)
    told = sorted(student.submitted.items())
    return [] if found == told else [f"{student.name}: has {found}, and was told {told}"]


def _wrong_budget(student: Student, runs: list[dict[str, Any]]) -> list[str]:
    """A budget that is not what its runs must have cost, by the contract's words."""
    must = sum(_price(run) for run in runs)
    used = student.look_at_budget()["used_seconds"]
    good = abs(used - must) < 1e-6 and must <= BUDGET_SECONDS
    return [] if good else [f"{student.name}: {used} seconds used, {must} by the runs, of {BUDGET_SECONDS}"]


def _price(run: dict[str, Any]) -> float:
    """What an ended run pays: a timeout all, others what they used, at least a second and at most all."""
    status, reserved = run["status"], run["training_config"]["max_runtime_seconds"]
    if status.get("reason", {}).get("reason") == "timeout":
        return reserved
    return min(max(status["used_runtime_seconds"], 1.0), reserved)


def _first(store: Database, query: Any) -> Any:
    with store.read() as connection:
        return connection.execute(query).one()
