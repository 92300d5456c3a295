"""Options that several of the lab's actions have, and what they stand for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from isoflop.labs.lab import Lab
    from isoflop.labs.store.database import Database

DATABASE_VARIABLE = "ISOFLOP_LAB_DATABASE"


@dataclass(frozen=True)
class LabOptions:
    """A lab and its database."""

    folder: tyro.conf.Positional[Path]
    """The lab's folder."""
    database: str | None = None
    """postgresql://USER:PASSWORD@HOST/NAME; without it what ISOFLOP_LAB_DATABASE says, or SQLite in the
    folder."""

    def open(self) -> tuple[Lab, Database]:
        """The lab, and its database with the students of keys.csv."""
        from isoflop.labs.store.opening import open_store

        lab = self.lab()
        return lab, open_store(lab, self.url())

    def lab(self) -> Lab:
        """The lab."""
        from isoflop.labs.lab import open_lab

        return open_lab(self.folder)

    def url(self) -> str | None:
        """The database's URL, where one was named."""
        return self.database or os.environ.get(DATABASE_VARIABLE)
