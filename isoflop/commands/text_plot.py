"""A curve in characters, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from isoflop.base.formatting import brief

COLUMNS, LINES = 60, 10
MARGIN = 9
"""Characters for the numbers of the vertical axis."""


def text_plot(x: np.ndarray, y: np.ndarray) -> Iterator[str]:
    """Lines that draw y against the logarithm of x, ascending; with the ends of both axes."""
    keep = np.isfinite(y)
    x, y = np.log(x[keep]), y[keep]
    if not len(y):
        return
    across = np.linspace(x[0], x[-1], COLUMNS)
    span = np.ptp(y) or 1.0
    row = np.rint((y.max() - np.interp(across, x, y)) / span * (LINES - 1)).astype(int)
    grid = np.full((LINES, COLUMNS), " ")
    grid[row, np.arange(COLUMNS)] = "*"
    for number, line in enumerate(grid):
        label = {0: brief(y.max()), LINES - 1: brief(y.min())}.get(number, "")
        yield f"{label:>{MARGIN}} |{''.join(line)}".rstrip()
    low, high = brief(float(np.exp(x[0]))), brief(float(np.exp(x[-1])))
    yield f"{'':>{MARGIN}} +{'-' * COLUMNS}"
    yield f"{'':>{MARGIN}}  {low}{high:>{COLUMNS - len(low)}}"
