"""How the pages' figures are written."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure


def save(figure: Figure, path: Path, dpi: int = 160) -> None:
    """Write a figure without the drawing program's version: equal pictures are equal files."""
    figure.savefig(path, dpi=dpi, metadata={"Software": None})
