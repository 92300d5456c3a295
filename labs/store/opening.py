"""A lab's database, with the students of `keys.csv` enrolled."""

from __future__ import annotations

from isoflop.labs.lab import Lab
from isoflop.labs.store.database import Database, open_database
from isoflop.labs.store.students import enrol
from isoflop.labs.store.tables import nanos


def open_store(lab: Lab, url: str | None) -> Database:
    """The database at `url`, or the one in the lab's folder, its students those of `keys.csv` as it is now;
    so are those of its practice lab, if it has one.

    Raises `UserError` for a database that cannot be reached or is another lab's, and for a wrong `keys.csv`.
    """
    hashes = {name: lab.key_hash(key) for name, key in lab.keys().items()}
    database = open_database(url or lab.default_database, lab.settings.lab_id)
    with database.write() as connection:
        enrol(connection, hashes, nanos(lab.settings.budget_seconds))
    if (practice := lab.practice()) is not None:
        open_store(practice, None).close()
    return database
