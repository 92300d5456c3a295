"""The figures of docs/laws-measured, a file each that defines `draw(folder)`; docs/draw.py draws them all."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path


def draw_measured(folder: Path) -> None:
    """Draw the figure of every file here."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}").draw(folder)
