"""Do the approaches agree? Their exponents' difference against their joint uncertainty.

Approaches 1 and 2 and approach 3 see the same runs, so their errors are not independent and their intervals
cannot be compared by eye. Here every redrawn table feeds all of them: the losses of the fitted surface with
the noise that the budgets' own smooth curves leave. What differs then differs by more than noise, and part of
it is the approaches' own doing: a parabola's bias is there on a surface without noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import computed_field

from isoflop.analysis.approaches.approach2 import ENOUGH_MINIMA, frontier_through, group_minima
from isoflop.analysis.approaches.curve_noise import curve_noise
from isoflop.analysis.approaches.diagnostics import SPARE_RUNS
from isoflop.analysis.approaches.envelope import contenders
from isoflop.analysis.compute import PerToken, per_token
from isoflop.analysis.isoflops.groups import IsoflopGroup, isoflop_groups
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.options import FitOptions
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.solver.fitted_law import one_law
from isoflop.analysis.solver.search import ONE_CALL, fit_problem, search
from isoflop.analysis.solver.solver import solve
from isoflop.analysis.uncertainty.intervals import Interval
from isoflop.analysis.uncertainty.quantities import budget_range, exponents
from isoflop.analysis.uncertainty.resampling import trunk_noise, trunks_of
from isoflop.base.errors import UserError
from isoflop.base.json_values import Serializable

MAX_LOSSES_IN_ALL = 20_000_000
"""Redrawn losses, all kept for every approach, 160 MB: large tables are redrawn less often."""
FEWEST_REDRAWS = 100
"""Redraws below which nothing is compared: a tail of a few per cent has to hold some."""
A = 1
"""Column of the exponent a in the values of `FRONTIER`."""


@dataclass(frozen=True)
class Agreement(Serializable):
    """The exponent a, N_opt ~ C^a, by approach 1 or 2 against approach 3 on the same runs."""

    approach: int
    exponent: float
    """That approach's a."""
    surface_exponent: float
    """Approach 3's a."""
    difference: float
    """The former less the latter."""
    interval: Interval
    """The interval of the difference, at `level`."""
    p_value: float | None
    """Two-sided, of no difference at all."""
    explained: float | None
    """The difference that the approach shows on the fitted surface at these very points without noise."""
    p_beyond: float | None
    """Two-sided, of the fitted surface with noise being behind both exponents."""
    level: float
    B: int
    """Redraws in which both exponents could be had."""
    resampling: str

    @computed_field
    @property
    def agrees(self) -> bool:
        """The approaches are no further apart than the fitted surface and the runs' noise make them."""
        return self.p_beyond is None or self.p_beyond >= 1 - self.level


def agreement(table: RunTable, options: FitOptions) -> tuple[Agreement, ...]:
    """Approach 2 against 3, and 1 against 3, where the table has minima for them.

    Where it has IsoFLOP groups only their runs are used. Empty without a bootstrap, with too few runs, with
    no scatter to redraw, with so many runs that too few redraws would fit in memory, and for a law that has
    no optimum or is fitted to the envelope alone.
    """
    law, groups = one_law(table, options, "the agreement of approaches").law, isoflop_groups(table)
    if len(groups) >= 2:
        table = table.where(np.isin(np.arange(len(table)), np.concatenate([g.rows for g in groups])))
        groups = isoflop_groups(table)
    B = min(options.bootstrap, MAX_LOSSES_IN_ALL // len(table))
    if law.envelope or B < FEWEST_REDRAWS or len(table) < len(law.parameters) + SPARE_RUNS:
        return ()
    problem = fit_problem(table, law, options)
    try:
        found = search(problem, table.loss_R, min(options.starts, ONE_CALL))
    except UserError:
        return ()
    params_P, theta_P = found.params_SxP[found.best], found.theta_SxP[found.best]
    surface_R = np.asarray(evaluate(law, params_P, *problem.inputs))
    drawn = _redraw(table, groups, surface_R, len(params_P), B, options)
    if drawn is None:
        return ()
    redrawn_BxR, resampling = drawn
    losses_MxR = np.concatenate([table.loss_R[None], surface_R[None], redrawn_BxR])
    # The same redraws for approach 3: the errors of both then go together, as those of the table itself do.
    theta_BxP = np.repeat(theta_P[None], B, axis=0)
    refits = solve(problem, theta_BxP, redrawn_BxR, np.ones((1, len(table))), warm=True)
    cost, C_K = per_token(table), budget_range(table)
    surface_a = float(exponents(law, params_P[None], C_K, cost)[0, 0])
    surface_a_B = exponents(law, refits.params_SxP, C_K, cost)[:, 0]
    if not np.isfinite(surface_a):
        return ()
    others = (_by_minima(table, groups, losses_MxR, cost, options.curve), _by_envelope(table, losses_MxR))
    return tuple(
        _compare(approach, other, surface_a, surface_a_B, resampling, options.level)
        for approach, other in zip((2, 1), others, strict=True)
        if other is not None
    )


def _redraw(
    table: RunTable,
    groups: list[IsoflopGroup],
    surface_R: np.ndarray,
    parameters: int,
    B: int,
    options: FitOptions,
) -> tuple[np.ndarray, str] | None:
    """B redraws of the surface's losses, BxR, and what is redrawn, in words.

    The noise is the scatter about the budgets' own curves, which leaves out whatever the surface misses; in a
    table without budgets it is that about the surface. None where no scatter is left.
    """
    rng = np.random.default_rng([options.seed, 2])
    if len(groups) >= 2:
        noise = curve_noise(table, groups, options.curve)
        if noise.freedom < 1:
            return None
        log_noise = np.empty((B, len(table)))
        log_noise[:, noise.rows_G] = noise.draw(B, rng)
        return surface_R * np.exp(log_noise), f"the fitted surface with {noise.description}"
    residual_R, trunks_R = np.log(table.loss_R / surface_R), trunks_of(table)
    if trunks_R is not None:
        log_noise = trunk_noise(residual_R, trunks_R, parameters, B, rng)
    else:
        inflate = np.sqrt(len(residual_R) / (len(residual_R) - parameters))
        log_noise = inflate * rng.choice(residual_R, size=(B, len(residual_R)))
    return surface_R * np.exp(log_noise), "the fitted surface with its own residuals"


def _by_minima(
    table: RunTable, groups: list[IsoflopGroup], losses_MxR: np.ndarray, cost: PerToken, curve: str
) -> np.ndarray | None:
    """a of approach 2 on M sets of losses, the table's own first; None without enough minima."""
    if len(groups) < ENOUGH_MINIMA:
        return None
    minima = group_minima(table.N_R, groups, curve, losses_MxR)
    if sum(bool(m.bracketed_B[0]) for m in minima) < ENOUGH_MINIMA:
        return None
    return frontier_through(groups, minima, minima, cost)[:, A]


def _by_envelope(table: RunTable, losses_MxR: np.ndarray) -> np.ndarray | None:
    """The same of approach 1; None without enough points on the envelope."""
    runs = contenders(table)
    if (runs.on(runs.loss_K[None])[0] & (runs.inside_K != 0)).sum() < ENOUGH_MINIMA:
        return None
    return runs.frontier(losses_MxR[:, runs.rows_K])[:, A]


def _compare(
    approach: int, other: np.ndarray, surface_a: float, surface_a_B: np.ndarray, resampling: str, level: float
) -> Agreement:
    """The difference from approach 3. `other`: a on the table, on the surface, on B redraws."""
    difference, bare = float(other[0] - surface_a), float(other[1] - surface_a)
    draws = other[2:] - surface_a_B
    draws = draws[np.isfinite(draws)]
    known = 2 * len(draws) >= len(surface_a_B)
    # Two nulls: that the difference is noise about none (draws about their own mean), and that it is what
    # these approaches show of the fitted surface itself, with noise (draws as they are).
    error = draws - draws.mean() if known else draws
    low, high = np.quantile(error, [(1 - level) / 2, (1 + level) / 2]) if known else (np.nan, np.nan)
    return Agreement(
        approach=approach,
        exponent=float(other[0]),
        surface_exponent=surface_a,
        difference=difference,
        interval=(difference - float(high), difference - float(low)) if known else (None, None),
        p_value=_two_sided(difference, error) if known else None,
        explained=bare if np.isfinite(bare) else None,
        p_beyond=_two_sided(difference, draws) if known else None,
        level=level,
        B=len(draws),
        resampling=resampling,
    )


def _two_sided(value: float, draws_B: np.ndarray) -> float:
    """Twice the smaller tail, the value itself counted in: never zero."""
    tail = min((draws_B >= value).sum(), (draws_B <= value).sum())
    return float(min(1.0, 2.0 * (1 + tail) / (1 + len(draws_B))))
