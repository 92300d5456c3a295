"""The check of the learning-rate rule and of the shared trunks, at the least and the largest budget's
minima."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from isoflop.sweeps.grids.cells import PlannedCell
from isoflop.sweeps.row import Row

CHECKS = ("fresh_cosine", "rate_half", "rate_double")
"""Roles of the checks' cells."""

MIN_SEED_NOISE = 0.005
"""Nats; the standard deviation between seeds is taken to be no less, however alike few pairs may be."""


@dataclass(frozen=True)
class RateCheck:
    """Losses in nats at one budget's minimum, and of the same cell and seed trained in other ways, None where
    there is none. `budget` in FLOPs; `fresh_cosine`: without a shared trunk; `rate_half`, `rate_double`: at
    other peak rates."""

    budget: float
    width: int
    loss: float
    fresh_cosine: float | None = None
    rate_half: float | None = None
    rate_double: float | None = None
    warning: str = ""


def check_rule(
    runs: Sequence[Row], checks: Sequence[Row], minima: Sequence[PlannedCell]
) -> tuple[RateCheck, ...]:
    """How the rule's rate and the shared trunks did at each of the minima that has a check with a loss."""
    noise = _seed_noise(runs)
    found = (_check_at(planned, runs, checks, noise) for planned in minima)
    return tuple(check for check in found if check)


def _check_at(
    planned: PlannedCell, runs: Sequence[Row], checks: Sequence[Row], noise: float
) -> RateCheck | None:
    width = planned.cell.recipe.model.width
    here = [
        row
        for row in (*runs, *checks)
        if (row.budget, row.d_model) == (planned.budget, width) and row.loss is not None
    ]
    losses = {row.role: row.loss for row in here if row.role in CHECKS and row.loss is not None}
    seeds = {row.init_seed for row in here if row.role in CHECKS}
    own = next((row.loss for row in here if row.role == "grid" and row.init_seed in seeds), None)
    if own is None:
        return None
    best = min(("rate_half", "rate_double"), key=lambda role: losses.get(role, math.inf))
    lost = own - losses.get(best, own)
    # Two standard deviations of a difference of two runs, as if they had nothing in common.
    tolerance = 2 * math.sqrt(2) * noise
    warning = (
        f"at the minimum of {planned.budget:.3g} FLOPs {best.replace('_', ' ')} beats the rule's rate by "
        f"{lost:.3f} nats: the rule is off there, so tune nearer to that budget's tokens"
        if lost > tolerance
        else ""
    )
    return RateCheck(planned.budget, width, own, **losses, warning=warning)


def _seed_noise(runs: Sequence[Row]) -> float:
    """Standard deviation between seeds of one cell at one rate, nats, pooled over the cells that have
    several."""
    cells: dict[tuple[int, float], list[float]] = {}
    for row in runs:
        if row.loss is not None and row.role == "grid":
            cells.setdefault((row.d_model, row.budget), []).append(row.loss)
    squares = sum((loss - sum(own) / len(own)) ** 2 for own in cells.values() for loss in own)
    degrees_of_freedom = sum(len(own) - 1 for own in cells.values())
    return max(MIN_SEED_NOISE, math.sqrt(squares / max(degrees_of_freedom, 1)))
