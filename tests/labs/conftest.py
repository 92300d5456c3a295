"""A lab in a folder, and its database: SQLite, and PostgreSQL where there is one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from isoflop.labs.lab import Lab
from isoflop.labs.store.database import Database
from isoflop.labs.store.opening import open_store
from tests.support.labs import make_lab
from tests.support.postgresql import new_database, postgresql

numbers = itertools.count()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path / "lab")


@pytest.fixture(scope="session")
def postgresql_socket() -> Iterator[Path]:
    with postgresql() as socket:
        yield socket


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, lab: Lab) -> str:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return lab.default_database
    return new_database(request.getfixturevalue("postgresql_socket"), f"lab{next(numbers)}")


@pytest.fixture
def store(lab: Lab, url: str) -> Iterator[Database]:
    """That database, opened."""
    opened = open_store(lab, url)
    yield opened
    opened.close()
