"""SQLite in the lab's folder, or PostgreSQL by URL: consistent reads, and one writer at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, make_url, select, text
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from isoflop.base.errors import UserError
from isoflop.labs.store.tables import SCHEMA, labs, metadata

WAIT_SECONDS = 30
"""What a transaction waits for another's before it fails."""
WRITER_LOCK = 0x150F10B
"""PostgreSQL's number of the lock that a writing transaction holds."""


class Database:
    """Transactions on one lab's database. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        self._turn = threading.Lock()  # threads queue for SQLite's one writer, instead of asking in turns

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._engine.connect() as connection:
            if not self._is_sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """The only writing transaction there is: what it reads stays true until it commits."""
        if self._is_sqlite:
            with self._turn, self._engine.execution_options(writes=True).begin() as connection:
                yield connection
            return
        with self._engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITER_LOCK})
            yield connection

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()


def open_database(url: str, lab_id: str) -> Database:
    """The database of a lab, with its tables made where there are none.

    Raises `UserError` where it cannot be reached, or is another lab's or another version's.
    """
    database = Database(url)
    shown = make_url(url).render_as_string(hide_password=True)
    try:
        with database.write() as connection:
            metadata.create_all(connection)
            found = connection.execute(select(labs.c.lab_id, labs.c.schema)).first()
            if found is None:
                connection.execute(insert(labs).values(lab_id=lab_id, schema=SCHEMA))
    except (OperationalError, ProgrammingError) as error:
        database.close()
        raise UserError(f"database {shown}: {_reason(error)}") from None
    if found is not None and tuple(found) != (lab_id, SCHEMA):
        database.close()
        other = "of another version of isoflop" if found.lab_id == lab_id else "of another lab"
        raise UserError(f"database {shown}: is {other}: give this lab one of its own")
    return database


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            engine = create_engine(parsed, connect_args={"timeout": WAIT_SECONDS}, pool_size=20)
            event.listen(engine, "connect", _set_up_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        if parsed.get_backend_name() == "postgresql":
            limits = f"-c lock_timeout={WAIT_SECONDS}s -c idle_in_transaction_session_timeout={WAIT_SECONDS}s"
            return create_engine(
                parsed.set(drivername="postgresql+psycopg"),
                connect_args={"connect_timeout": 10, "options": limits},
                pool_pre_ping=True,
                pool_size=20,
            )
    except (ArgumentError, SQLAlchemyError) as error:
        raise UserError(f"--database: {_reason(error)}") from None
    raise UserError("--database: must be sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME")


def _set_up_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin where we say, below
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # Taken at once, the write lock is waited for; a reader that turns writer would fail instead.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _reason(error: Exception) -> str:
    """The driver's own words, in one line."""
    original = getattr(error, "orig", None) or error
    return " ".join(str(original).split()) or type(original).__name__
