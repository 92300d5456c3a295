"""The database's tables. Moments are microseconds since 1970, in UTC; amounts are whole nanoseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    event,
    text,
)

SCHEMA = 1
"""Raised when a table changes; a new one is made in the databases that lack it."""
STATES = ("queued", "running", "completed", "failed", "cancelled")
KINDS = ("grant", "reserve", "release", "charge", "refund")

metadata = MetaData()
Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself for INTEGER alone

labs = Table(
    "labs",
    metadata,
    Column("lab_id", Text, primary_key=True),
    Column("schema", Integer, nullable=False),
    Column("frozen_at", BigInteger),
)

students = Table(
    "students",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("key_hash", Text, unique=True),  # null: the student's key was withdrawn
)

experiments = Table(
    "experiments",
    metadata,
    Column("id", Id, primary_key=True),
    Column("student_id", Id, ForeignKey("students.id"), nullable=False),
    Column("config_id", Text, nullable=False),
    Column("config", Text, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("state", Text, CheckConstraint(f"state IN {STATES}"), nullable=False),
    Column("queued_at", BigInteger, nullable=False),
    Column("dispatched_at", BigInteger),
    Column("run_id", Text),
    Column("worker", Text),
    Column("lease_until", BigInteger),
    Column("attempts", Integer, nullable=False, default=0),
    Column("val_losses", Text, nullable=False, default="[]"),
    Column("used_seconds", Float),
    Column("ended_at", BigInteger),
    Column("reason", Text),
    Index("experiments_by_state", "state", "queued_at"),
    Index("experiments_by_student", "student_id", "state"),
    sqlite_autoincrement=True,  # no id is given twice
)
not_cancelled = text("state <> 'cancelled'")
Index(
    "one_experiment_a_config",
    experiments.c.student_id,
    experiments.c.config_id,
    unique=True,
    sqlite_where=not_cancelled,
    postgresql_where=not_cancelled,
)

ledger = Table(
    "ledger",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("student_id", Id, ForeignKey("students.id"), nullable=False),
    Column("experiment_id", Id, ForeignKey("experiments.id")),
    Column("kind", Text, CheckConstraint(f"kind IN {KINDS}"), nullable=False),
    Column("amount", BigInteger, nullable=False),  # what it adds to the budget that remains
    Column("note", Text, nullable=False, default=""),
    Index("ledger_by_student", "student_id"),
    Index("ledger_by_experiment", "experiment_id"),
    sqlite_autoincrement=True,
)

final_submissions = Table(
    "final_submissions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("student_id", Id, ForeignKey("students.id"), nullable=False),
    Column("config", Text, nullable=False),
    Column("predicted_final_loss", Float, nullable=False),
    Column("low", Float),  # with `high` and `level`: an interval submission
    Column("high", Float),
    Column("level", Float),
    Column("submitted_at", BigInteger, nullable=False),
    Index("final_submissions_by_student", "student_id"),
    sqlite_autoincrement=True,
)

final_runs = Table(
    "final_runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("student_id", Id, ForeignKey("students.id"), nullable=False),
    Column(
        "config_id", Text, nullable=False
    ),  # of the config as it is run: the target reserved, its own seed
    Column("used_seconds", Float, nullable=False),
    Column("val_losses", Text, nullable=False),
    Column("failure", Text),
    Column("ended_at", BigInteger, nullable=False),
    Index("one_run_a_config", "student_id", "config_id", unique=True),
    sqlite_autoincrement=True,
)

leaderboard = Table(
    "leaderboard",
    metadata,
    Column("student_id", Id, ForeignKey("students.id"), primary_key=True),
    Column("rank", Integer, nullable=False),
    Column("value", Float, nullable=False),  # nats per token: what the rank goes by
    Column("n_seeds", Integer, nullable=False),
)

REFUSAL = "the ledger is append-only"
for change in ("UPDATE", "DELETE"):
    on_sqlite = DDL(
        f"CREATE TRIGGER ledger_no_{change.lower()} BEFORE {change} ON ledger "
        f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    ).execute_if(dialect="sqlite")
    event.listen(ledger, "after_create", on_sqlite)
on_postgresql = DDL(
    "CREATE FUNCTION refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$; "
    "CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE ON ledger "
    "FOR EACH ROW EXECUTE FUNCTION refuse_ledger_change()"
).execute_if(dialect="postgresql")
event.listen(ledger, "after_create", on_postgresql)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(micros: int) -> datetime:
    """The inverse of `micros`."""
    return _EPOCH + timedelta(microseconds=micros)


NANOSECONDS = 1_000_000_000


def nanos(seconds: float) -> int:
    """Seconds as whole nanoseconds, so that sums are exact."""
    return round(seconds * NANOSECONDS)


def seconds(nanos: int) -> float:
    """The inverse of `nanos`."""
    return nanos / NANOSECONDS
