"""Published tables of runs, fetched once from their repositories by commit and hash: `public:NAME`.

A table is one module here, `NAME.py`, that holds one `PublicTable` called `TABLE`. Files are kept under
`$ISOFLOP_CACHE` (else `~/.cache/isoflop`) in `public/NAME/`; no copy is part of this project.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from pathlib import Path
from typing import Any

import pandas as pd

from isoflop.analysis.sources.public.table import PublicTable
from isoflop.analysis.tables.cells import one_line
from isoflop.base.errors import UserError

HOST = "https://raw.githubusercontent.com"
SECONDS = 30


def known_tables() -> tuple[str, ...]:
    """Names of the published tables, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "table"))


def read_public(name: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """The published table `name`, and what its authors' N, C and loss are (entries of the conventions).

    Raises `UserError` for an unknown name, for files that can't be fetched, and for files that are not those
    the table was written for.
    """
    table = _table(name)
    folder = _folder(name)
    files = [_fetch(table, path, sha256, folder) for path, sha256 in table.files]
    meanings = {**table.meanings, "data": f"{table.title}, {table.repository} at {table.commit[:7]}"}
    return table.convert(files), meanings


def holds_curves(name: str) -> bool:
    """Whether the published table `name` has loss curves in place of runs. Raises `UserError` as above."""
    return _table(name).curves


def _table(name: str) -> PublicTable:
    if name not in known_tables():
        raise UserError(f"unknown table public:{name}: known are {', '.join(known_tables())}")
    return importlib.import_module(f"{__name__}.{name}").TABLE


def _folder(name: str) -> Path:
    root = Path(os.environ.get("ISOFLOP_CACHE") or Path.home() / ".cache" / "isoflop")
    return root / "public" / name


def _fetch(table: PublicTable, path: str, sha256: str, folder: Path) -> Path:
    """The file on disk, downloaded unless it already lies there with the right hash."""
    pooch, url = _pooch(), f"{HOST}/{table.repository}/{table.commit}/{path}"
    place = folder / table.file_name(path)
    try:
        kept = pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256}",
            fname=place.name,
            path=folder,
            downloader=pooch.HTTPDownloader(timeout=SECONDS),
        )
    except Exception as error:  # requests' errors, and pooch's ValueError for another hash
        detail = one_line(str(error) or type(error).__name__, 120)
        if "hash" in str(error).lower():
            raise UserError(f"{url} is not the file it was when its hash was taken: {detail}") from error
        raise UserError(
            f"{url} can't be fetched ({detail}): try again with a connection, or put the file at {place}"
        ) from error
    return Path(kept)


def _pooch() -> Any:
    try:
        pooch = importlib.import_module("pooch")
    except ImportError as error:
        raise UserError("public: tables need pooch, which is not installed: pip install pooch") from error
    pooch.get_logger().setLevel("WARNING")  # its account of every file doesn't belong on stderr
    return pooch
