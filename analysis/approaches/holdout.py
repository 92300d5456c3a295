"""Fit below, score above: how well the smaller budgets predict the larger ones."""

from __future__ import annotations

import numpy as np

from isoflop.analysis.approaches.approach2 import group_minima
from isoflop.analysis.constraints import group_name
from isoflop.analysis.isoflops.groups import IsoflopGroup, isoflop_groups
from isoflop.analysis.isoflops.minima import convex, quadratic
from isoflop.analysis.options import FitOptions
from isoflop.analysis.planning.predictive import DRAWS, MinimumDraws, RunDraws, measured_shifts
from isoflop.analysis.result import LawFit
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.scores import HeldOutMinimum, HeldOutRun, Holdout
from isoflop.analysis.solver.search import covariates
from isoflop.analysis.uncertainty.intervals import span_with
from isoflop.base.errors import UserError

ENOUGH_GROUPS = 4
"""Budgets needed before one is held out unasked."""
ENOUGH_RUNS = 12
"""Runs needed before a fifth of them is."""


def largest_budget(table: RunTable) -> float | None:
    """What to hold out by default, FLOPs: the largest budget; in a table without IsoFLOP groups, the top
    fifth of its FLOPs. None for a table too small to spare any.
    """
    groups = isoflop_groups(table)
    if len(groups) >= ENOUGH_GROUPS:
        rows, budget_R = groups[-1].rows, table.budget_R
        return float(table.C_R[rows].min() if budget_R is None else np.nanmin(budget_R[rows]))
    return float(np.quantile(table.C_R, 0.8)) if len(table) >= ENOUGH_RUNS else None


def minimum(held: RunTable, curve: str) -> tuple[float | None, float | None]:
    """The largest budget of these runs, FLOPs, and the least loss of the curve through it, nats per token.

    The budget is None without an IsoFLOP, the loss where its runs bracket no minimum.
    """
    groups = isoflop_groups(held)
    if not groups:
        return None, None
    (found,) = group_minima(held.N_R, groups[-1:], curve, held.loss_R[None])
    return groups[-1].flops, float(found.loss_B[0]) if found.bracketed_B[0] else None


def nominal_flops(table: RunTable) -> np.ndarray:
    """The nominal budget of each run, FLOPs, where it has one, else its compute."""
    budget_R = table.budget_R
    return table.C_R if budget_R is None else np.where(np.isfinite(budget_R), budget_R, table.C_R)


def split(table: RunTable, c_min: float) -> tuple[RunTable, RunTable]:
    """The runs below `c_min` FLOPs and those at or above it, by nominal budget where a run has one.

    Raises `UserError` where either side is empty.
    """
    size_R = nominal_flops(table)
    above_R = size_R >= c_min * (1 - 1e-9)
    if above_R.all() or not above_R.any():
        side = "below" if above_R.all() else "at or above"
        raise UserError(
            f"--holdout {c_min:.3g}: no run lies {side} it; the runs span {size_R.min():.3g} to "
            f"{size_R.max():.3g} FLOPs"
        )
    return table.where(~above_R), table.where(above_R)


def score(fit: LawFit, held: RunTable, options: FitOptions) -> Holdout:
    """The held-out runs against their predictions, and the largest held-out budget's minimum against its own.

    Intervals are predictive: `isoflop.analysis.planning.predictive`.
    """
    rng = np.random.default_rng([options.seed, 1])
    grouped = bool(fit.constraints and fit.constraints.groups)
    rows = _scored_groups(fit, held, options, rng) if grouped else ()
    if fit.law is not None and not grouped:
        rows = scored_runs(fit, held, options.level, rng)
    errors = np.array([row.error for row in rows])
    inside = [row.inside for row in rows if row.inside is not None]
    groups = isoflop_groups(held)
    return Holdout(
        c_min=float(options.holdout or 0.0),
        n_fit=fit.n_runs,
        n_held_out=len(held),
        rows=rows,
        mean_abs_error=float(np.abs(errors).mean()) if rows else None,
        bias=float(errors.mean()) if rows else None,
        coverage=float(np.mean(inside)) if inside else None,
        noise_log_sd=max(fit.conventions.residual_log_sd, fit.noise.log_sd if fit.noise else 0.0),
        # Runs of one compute in several groups with a law each are no one curve.
        optimum=scored_minimum(fit, held, groups[-1], options, rng) if groups and not grouped else None,
    )


def _scored_groups(
    fit: LawFit, held: RunTable, options: FitOptions, rng: np.random.Generator
) -> tuple[HeldOutRun, ...]:
    """Each run by the law of its group."""
    names_R = np.array([group_name(value) for value in held.frame[options.by]])
    found = []
    for name in np.unique(names_R):
        found += scored_runs(fit.group(str(name)), held.where(names_R == name), options.level, rng)
    return tuple(found)


def scored_runs(
    fit: LawFit, held: RunTable, level: float, rng: np.random.Generator
) -> tuple[HeldOutRun, ...]:
    """Each run that the fit has not seen, with its prediction; intervals only where there is a bootstrap."""
    draws = RunDraws(fit, held.N_R, held.D_R, held.C_R, lambda law: covariates(held, law), rng)
    intervals = draws.intervals(level) if fit.intervals else [(None, None)] * len(held)
    return tuple(
        HeldOutRun(
            row=int(held.frame.index[r]),
            n_params=float(held.N_R[r]),
            n_tokens=float(held.D_R[r]),
            flops=float(held.C_R[r]),
            loss=float(held.loss_R[r]),
            predicted=float(draws.predicted_R[r]),
            interval=intervals[r],
            error=float(held.loss_R[r] - draws.predicted_R[r]),
        )
        for r in range(len(held))
    )


def scored_minimum(
    fit: LawFit, held: RunTable, group: IsoflopGroup, options: FitOptions, rng: np.random.Generator
) -> HeldOutMinimum:
    """The minimum of a held-out budget's own curve, and what the fit said of it."""
    N_K, loss_K = held.N_R[group.rows], held.loss_R[group.rows]
    x0, coefficients = quadratic(N_K, loss_K[None])
    (minima,) = group_minima(held.N_R, [group], options.curve, held.loss_R[None])
    known = bool(minima.bracketed_B[0])
    # About the smooth parabola, not about the runs: their noise is in them already.
    smooth_K = np.vander(np.log(N_K) - x0, 3, increasing=True) @ coefficients[0]
    ones = np.ones(DRAWS)
    # Each draw of the prediction is moved as far as the noise moves the measured minimum.
    shifts = (
        measured_shifts(fit, group.flops, N_K, smooth_K, 1, options.curve, rng) if known else (ones, ones)
    )
    n_opt, loss_opt, n_S, loss_S = _predicted(fit, group.flops, shifts)
    return HeldOutMinimum(
        flops=group.flops,
        curve=options.curve,
        interior=known,
        convex=bool(convex(N_K, coefficients)[0]),
        n_opt=float(np.exp(minima.x_B[0])) if known else None,
        n_opt_predicted=n_opt,
        n_opt_interval=span_with(n_opt, n_S, options.level) if fit.intervals else None,
        loss_opt=float(minima.loss_B[0]) if known else None,
        loss_opt_predicted=loss_opt,
        loss_opt_interval=span_with(loss_opt, loss_S, options.level) if fit.intervals else None,
        error=float(minima.loss_B[0] - loss_opt) if known and np.isfinite(loss_opt) else None,
    )


def _predicted(
    fit: LawFit, C: float, shifts: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float, np.ndarray, np.ndarray]:
    """N_opt and the loss there from the fit, and draws of both as the noise of runs will move them."""
    if fit.law is not None:
        found = MinimumDraws(fit, C, shifts)
        return found.n_opt, found.loss_opt, found.n_S, found.loss_S
    rows = np.concatenate([fit.params_P[None], np.resize(fit.draws_BxP, (DRAWS, len(fit.params)))])
    coefficient, exponent, _, _, E, K, gamma = rows.T
    with np.errstate(all="ignore"):  # draws may lie far out; what is not finite does not count
        n, loss = coefficient * C**exponent, E + K * C**-gamma
        return float(n[0]), float(loss[0]), n[1:] * shifts[0], loss[1:] * shifts[1]
