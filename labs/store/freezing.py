"""The deadline: from then on nothing is submitted."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select, update

from isoflop.labs.contract.fields import now
from isoflop.labs.store.tables import labs, micros, moment


def freeze(connection: Connection, at: datetime | None) -> None:
    """Sets the deadline; None lifts it."""
    connection.execute(update(labs).values(frozen_at=None if at is None else micros(at)))


def deadline(connection: Connection) -> datetime | None:
    """When the lab is, or was, frozen."""
    at = connection.execute(select(labs.c.frozen_at)).scalar()
    return None if at is None else moment(at)


def frozen_since(connection: Connection) -> datetime | None:
    """The deadline, if it is past."""
    at = deadline(connection)
    return at if at is not None and at <= now() else None
