"""What approach 2 says where budgets have no minimum, or an uncertain one, and what would mend it."""

from __future__ import annotations

import numpy as np

from isoflop.analysis.isoflops.budget import Budget
from isoflop.analysis.isoflops.groups import IsoflopGroup
from isoflop.analysis.isoflops.minima import FLAT, Minima
from isoflop.analysis.run_table import RunTable

BIAS = 0.1
"""Relative error in N from which a curve's bias is warned of."""


def sizes_to_add(
    table: RunTable, groups: list[IsoflopGroup], budgets: tuple[Budget, ...], first: list[Minima]
) -> tuple[str, ...]:
    """A line for every budget without a minimum: which sizes would give it one."""
    lines = []
    for group, budget, minimum in zip(groups, budgets, first, strict=True):
        low, high = float(table.N_R[group.rows].min()), float(table.N_R[group.rows].max())
        name = f"budget {group.flops:.3g}"
        if np.isnan(minimum.side_B[0]):
            lines.append(
                f"{name}: {_shapeless(budget)} and has no minimum; add sizes on both sides, "
                f"around N = {low / 2:.2g} and N = {2 * high:.2g}"
            )
        elif minimum.side_B[0] != 0:
            side, sizes = ("smallest", f"{low / 2:.2g} and {low / 4:.2g}") if minimum.side_B[0] < 0 else (
                "largest", f"{2 * high:.2g} and {4 * high:.2g}")  # fmt: skip
            lines.append(f"{name}: the minimum lies at or beyond the {side} size; add sizes near N = {sizes}")
    return tuple(lines)


def doubts(budgets: tuple[Budget, ...], enough: bool, no_scatter: bool) -> tuple[str, ...]:
    """Too few minima, no way to tell their intervals, intervals with open ends, or a curve with a bias."""
    lines = []
    found = [budget for budget in budgets if budget.n_opt is not None]
    if not enough:
        lines.append(f"only {len(found)} budgets have an interior convex minimum: exponents need at least 3")
    opened = [b for b in found if b.n_interval is not None and None in b.n_interval]
    if no_scatter:
        lines.append("the curves pass through every run: no scatter is left to give intervals; add sizes")
    elif opened:
        names = ", ".join(f"{b.flops:.3g}" for b in opened)
        lines.append(
            f"the runs leave an end of N_opt's interval open at {len(opened)} of {len(found)} budgets "
            f"({names}): add sizes beyond that end, or repeat runs"
        )
    biased = [b for b in found if b.bias is not None and abs(b.bias) > np.log1p(BIAS)]
    if biased:
        worst = max(biased, key=lambda b: abs(b.bias or 0.0))
        lines.append(
            f"at {len(biased)} of {len(found)} budgets the curve would miss the fitted surface's minimum by "
            f"over {BIAS:.0%} of N (most at {worst.flops:.3g}: {worst.bias_percent:+.0f}%), and intervals "
            "say nothing of it: leave out sizes far from the minimum, or use --curve akima"
        )
    return tuple(lines)


def no_groups(table: RunTable, count: int) -> str:
    """Why approach 2 cannot be had of this table."""
    if table.budget_R is not None and table.conventions.flops == "6nd":
        return (
            f"{table.source}: its budgets are equal in the table's own FLOPs, not in 6ND; use --flops exact, "
            "or --approach 3, whose surface gives exponents under any count"
        )
    return (
        f"{table.source} has {count} budgets with three sizes or more, and approach 2 needs two: give a "
        "budget column, runs of nearly equal FLOPs, or use --approach 3"
    )


def _shapeless(budget: Budget) -> str:
    """Why a budget's curve has no minimum anywhere."""
    if budget.curve is None or budget.width is None or budget.convex:
        return "the curve is flat"
    # In units of log N about zero: the level is the loss at the vertex, to which the bend is compared as in
    # `minima.convex`.
    c0, c1, c2 = budget.curve
    x = 0.5 * -c1 / c2 if c2 else 0.0
    level = abs(c0 + c1 * x + c2 * x**2)
    return "the parabola is concave" if -c2 * budget.width**2 > FLAT * level else "the curve is flat"
