"""Students: who they are, and the hashes of their keys."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from isoflop.base.errors import UserError
from isoflop.labs.store.ledger import enter
from isoflop.labs.store.tables import students


@dataclass(frozen=True)
class Student:
    """A student, as the database numbers them."""

    id: int
    name: str


def enrol(connection: Connection, key_hashes: Mapping[str, str], budget: int) -> None:
    """Makes the students those of `key_hashes`, by name.

    A new one is granted `budget` nanoseconds; another key replaces the old; who is no longer named keeps runs
    and budget, without a key.
    """
    known = {row.name: row for row in connection.execute(select(students))}
    for name, row in known.items():
        if row.key_hash is not None and key_hashes.get(name) != row.key_hash:
            connection.execute(update(students).where(students.c.id == row.id).values(key_hash=None))
    for name, key_hash in key_hashes.items():
        if name not in known:
            new = insert(students).values(name=name, key_hash=key_hash).returning(students.c.id)
            enter(connection, connection.execute(new).scalar_one(), "grant", budget)
        elif known[name].key_hash != key_hash:
            connection.execute(update(students).where(students.c.name == name).values(key_hash=key_hash))


def student_of_key(connection: Connection, key_hash: str) -> Student | None:
    """Whose key this is."""
    row = connection.execute(select(students).where(students.c.key_hash == key_hash)).first()
    # The index compared hashes that no caller can steer; what it found is compared in constant time again.
    if row is None or not hmac.compare_digest(row.key_hash, key_hash):
        return None
    return Student(row.id, row.name)


def student_named(connection: Connection, name: str) -> Student:
    """The student of this name. Raises `UserError` where there is none."""
    row = connection.execute(select(students).where(students.c.name == name)).first()
    if row is None:
        raise UserError(f"student {name!r}: the lab has none of this name; keys.csv lists them")
    return Student(row.id, row.name)


def all_students(connection: Connection) -> list[Student]:
    """Every student, in the order of enrolment."""
    rows = connection.execute(select(students.c.id, students.c.name).order_by(students.c.id))
    return [Student(row.id, row.name) for row in rows]
