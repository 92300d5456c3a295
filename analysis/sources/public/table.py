"""What a published table is to this package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class PublicTable:
    """A table of runs in a public GitHub repository.

    `files`: (path in the repository, sha256) of each file; `convert`: those files, in order, to rows with the
    run table's columns; `meanings`: entries of the conventions (`count_meaning`, `flops_meaning`, ...).
    """

    title: str
    repository: str
    commit: str
    files: tuple[tuple[str, str], ...]
    convert: Callable[[list[Path]], pd.DataFrame]
    meanings: dict[str, str]
    curves: bool = False
    """Its rows are those of loss curves, not runs."""

    def file_name(self, path: str) -> str:
        """What a file is called on disk: by its folder too, where several have its name."""
        name = Path(path).name
        several = sum(Path(other).name == name for other, _ in self.files) > 1
        return f"{Path(path).parent.name}-{name}" if several else name


def listed_files(listing: Path) -> tuple[tuple[str, str], ...]:
    """A table's files as a text lists them, a line each: sha256, and the path in the repository."""
    lines = listing.read_text(encoding="utf-8").splitlines()
    return tuple((path, sha256) for sha256, path in (line.split(maxsplit=1) for line in lines))
