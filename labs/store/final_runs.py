"""Trained final submissions: what came of each config at the target budget, a row a seed."""

from __future__ import annotations

import json

from sqlalchemy import Connection, insert, select

from isoflop.labs.backends.backend import Outcome
from isoflop.labs.contract.fields import now
from isoflop.labs.store.tables import final_runs, micros


def save_final_run(connection: Connection, student_id: int, config_id: str, outcome: Outcome) -> None:
    """Records a run, within a writing transaction; the first one of a config stays."""
    table = final_runs
    same = (table.c.student_id == student_id, table.c.config_id == config_id)
    if connection.execute(select(table.c.id).where(*same)).first() is not None:
        return
    connection.execute(
        insert(table).values(
            student_id=student_id,
            config_id=config_id,
            used_seconds=outcome.used_seconds,
            val_losses=json.dumps(outcome.val_losses),
            failure=outcome.failure,
            ended_at=micros(now()),
        )
    )


def all_final_runs(connection: Connection) -> dict[tuple[int, str], Outcome]:
    """By student's id and config's id, how each run ended."""
    return {
        (row.student_id, row.config_id): Outcome(
            row.used_seconds, tuple(json.loads(row.val_losses)), row.failure
        )
        for row in connection.execute(select(final_runs))
    }
