"""Shared tables: a simulated sweep's folder, its table, and the reference tables where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isoflop.analysis import RunTable, load_runs, table_of
from tests.support import simulate
from tests.support.optional import lacking
from tests.support.surfaces import spread_runs


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated sweep's folder with everything in it."""
    return simulate.write_folder(tmp_path_factory.mktemp("sweep") / "simulated")


@pytest.fixture(scope="session")
def table(folder: Path) -> RunTable:
    """The simulated sweep's run table."""
    return load_runs(folder)


@pytest.fixture(scope="session")
def wide() -> RunTable:
    """120 spread runs with 1% noise."""
    return table_of(spread_runs(120, 0.01))


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of public tables; the test skips where it isn't."""
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("ISOFLOP_REFERENCE", root.parent / "shared" / "reference"))
    if not folder.is_dir():
        lacking("tables", f"No folder {folder}.")
    return folder
