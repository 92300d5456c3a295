"""The ranks that the class sees after the freeze, as `isoflop lab grade` last published them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from isoflop.labs.store.tables import leaderboard, students


@dataclass(frozen=True)
class Place:
    """A student's rank, and what it goes by: nats per token, the mean over `n_seeds` runs."""

    student: str
    rank: int
    value: float
    n_seeds: int


def publish(connection: Connection, places: Sequence[Place]) -> None:
    """Replaces the ranks, within a writing transaction."""
    ids = {row.name: row.id for row in connection.execute(select(students))}
    connection.execute(delete(leaderboard))
    for place in places:
        row = {"rank": place.rank, "value": place.value, "n_seeds": place.n_seeds}
        connection.execute(insert(leaderboard).values(student_id=ids[place.student], **row))


def published(connection: Connection) -> list[Place]:
    """The ranks, the best first; empty before there are any."""
    rows = connection.execute(
        select(students.c.name, leaderboard)
        .join(students, students.c.id == leaderboard.c.student_id)
        .order_by(leaderboard.c.rank, leaderboard.c.value, leaderboard.c.student_id)
    )
    return [Place(row.name, row.rank, row.value, row.n_seeds) for row in rows]
