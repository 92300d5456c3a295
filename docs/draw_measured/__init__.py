"""The figures of docs/laws-measured, a file each that defines `draw`; docs/draw.py draws them all."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from docs.figure_file import save


def draw_measured(folder: Path) -> None:
    """Draw the figure of every file here: that of two_answers.py is measured/two-answers.png."""
    (folder / "measured").mkdir(exist_ok=True)
    for module in pkgutil.iter_modules(__path__):
        figure = importlib.import_module(f"{__name__}.{module.name}").draw()
        save(figure, folder / "measured" / f"{module.name.replace('_', '-')}.png")
