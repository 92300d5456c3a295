"""Final submissions: every one is kept, the last one counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from isoflop.labs.contract.fields import now
from isoflop.labs.contract.interval import Interval
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.store.tables import final_submissions, micros, moment


@dataclass(frozen=True)
class Final:
    """A student's final submission, or interval submission."""

    student_id: int
    config: TrainingConfig
    predicted_final_loss: float
    submitted_at: datetime
    interval: Interval | None = None


def save_final(
    connection: Connection,
    student_id: int,
    config: TrainingConfig,
    predicted_final_loss: float,
    interval: Interval | None = None,
) -> Final:
    """Replaces a student's submission of this kind, with an interval or without."""
    at = micros(now())
    connection.execute(
        insert(final_submissions).values(
            student_id=student_id,
            config=config.model_dump_json(),
            predicted_final_loss=predicted_final_loss,
            submitted_at=at,
            **({} if interval is None else interval.model_dump()),
        )
    )
    return Final(student_id, config, predicted_final_loss, moment(at), interval)


def last_final(connection: Connection, student_id: int, *, with_interval: bool = False) -> Final | None:
    """What counts of a student; None before there is any."""
    found = all_finals(connection, with_interval=with_interval, student_id=student_id)
    return found.get(student_id)


def all_finals(
    connection: Connection, *, with_interval: bool = False, student_id: int | None = None
) -> dict[int, Final]:
    """By student's id, what counts of each (or of one)."""
    table = final_submissions
    kind = table.c.level.is_not(None) if with_interval else table.c.level.is_(None)
    last = select(func.max(table.c.id)).where(kind).group_by(table.c.student_id)
    if student_id is not None:
        last = last.where(table.c.student_id == student_id)
    rows = connection.execute(select(table).where(table.c.id.in_(last)))
    return {row.student_id: _final(row) for row in rows}


def _final(row: Row[Any]) -> Final:
    interval = None if row.level is None else Interval(low=row.low, high=row.high, level=row.level)
    config = TrainingConfig.model_validate_json(row.config)
    return Final(row.student_id, config, row.predicted_final_loss, moment(row.submitted_at), interval)
