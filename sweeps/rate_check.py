"""The check of the learning-rate rule and of the shared trunk, at the largest budget's minimum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from isoflop.sweeps.grids.cells import PlannedCell
from isoflop.sweeps.row import Row

MIN_SEED_NOISE = 0.005
"""Nats; the standard deviation between seeds is taken to be no less, however alike few pairs may be."""


@dataclass(frozen=True)
class RateCheck:
    """Losses in nats of the cell at the minimum, and of the same cell trained in other ways, None where there
    is none. `fresh_cosine`: without a shared trunk; `rate_half`, `rate_double`: at other peak rates."""

    width: int
    loss: float
    fresh_cosine: float | None = None
    rate_half: float | None = None
    rate_double: float | None = None
    warning: str = ""


def check_rule(runs: Sequence[Row], checks: Sequence[Row], minima: Sequence[PlannedCell]) -> RateCheck | None:
    """How the rule's rate and the shared trunk did at the largest minimum; None where no check has a loss."""
    losses = {row.role: row.loss for row in checks if row.loss is not None}
    if not losses:
        return None
    cell = minima[-1].cell
    own = next(row.loss for row in runs if row.cell_id == cell.cell_id)
    if own is None:  # found corrupt since
        return None
    rivals = [role for role in ("rate_half", "rate_double") if role in losses]
    best = min(rivals, key=lambda role: losses[role], default="")
    lost = own - losses[best] if best else 0.0
    tolerance = 2 * math.sqrt(2) * _seed_noise(runs)  # two standard deviations of a difference of two runs
    warning = (
        f"at the largest budget's minimum {best.replace('_', ' ')} beats the rule's rate by {lost:.3f} nats: "
        "the rule is off there, so tune nearer to the largest budget"
        if lost > tolerance
        else ""
    )
    return RateCheck(cell.recipe.model.width, own, **losses, warning=warning)


def _seed_noise(runs: Sequence[Row]) -> float:
    """Standard deviation between seeds of one cell, nats, pooled over the cells that have several."""
    cells: dict[tuple[int, float], list[float]] = {}
    for row in runs:
        if row.loss is not None:
            cells.setdefault((row.d_model, row.budget), []).append(row.loss)
    squares = sum((loss - sum(own) / len(own)) ** 2 for own in cells.values() for loss in own)
    degrees_of_freedom = sum(len(own) - 1 for own in cells.values())
    return max(MIN_SEED_NOISE, math.sqrt(squares / max(degrees_of_freedom, 1)))
