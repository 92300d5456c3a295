"""The ledger against the experiments: what each must have cost, and what each budget must be."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from isoflop.labs.backends.backend import Outcome
from isoflop.labs.store.queue import charged
from isoflop.labs.store.tables import experiments, ledger, seconds, students


def audit(connection: Connection) -> list[str]:
    """What does not add up, a line each; empty where every second is explained."""
    of_experiment: dict[int, list[Row[Any]]] = defaultdict(list)
    balance: dict[int, int] = defaultdict(int)
    wrong = []
    for entry in connection.execute(select(ledger).order_by(ledger.c.id)):
        balance[entry.student_id] += entry.amount
        if entry.experiment_id is not None:
            of_experiment[entry.experiment_id].append(entry)
        if balance[entry.student_id] < 0:
            wrong.append(f"ledger entry {entry.id}: overdraws its student's budget")
    for row in connection.execute(select(experiments)):
        wrong.extend(f"experiment {row.id}: {line}" for line in _wrong(row, of_experiment[row.id]))
    names = {row.id: row.name for row in connection.execute(select(students))}
    wrong.extend(f"student {name!r}: was granted nothing" for id, name in names.items() if id not in balance)
    return wrong


def _wrong(row: Row[Any], entries: Sequence[Row[Any]]) -> Iterator[str]:
    """What of an experiment's entries is not as its state asks."""
    expected = [("reserve", -row.reserved)]
    if row.state == "cancelled":
        expected.append(("release", row.reserved))
    elif row.state in ("completed", "failed"):
        failure = None if row.reason is None else json.loads(row.reason)["reason"]
        paid = charged(Outcome(row.used_seconds, (), failure), row.reserved)
        expected += [("release", row.reserved), ("charge", -paid)]
    found = [(entry.kind, entry.amount) for entry in entries if entry.kind != "refund"]
    if found != expected:
        yield f"is {row.state}, and its entries are {_spelled(found)}, not {_spelled(expected)}"
    if any(entry.student_id != row.student_id for entry in entries):
        yield "another student's entries"
    refunded = sum(entry.amount for entry in entries if entry.kind == "refund")
    paid = -sum(amount for kind, amount in expected if kind == "charge")
    if refunded > paid:
        yield f"{seconds(refunded)} s were refunded of {seconds(paid)} s paid"


def _spelled(entries: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{kind} {seconds(amount)} s" for kind, amount in entries) or "none"
