"""Fit below, score above: how well the smaller budgets predict the larger ones."""

from __future__ import annotations

import numpy as np

from isoflop.analysis.approaches.approach2 import group_minima
from isoflop.analysis.approaches.approach_result import ApproachResult
from isoflop.analysis.compute import PerToken, per_token
from isoflop.analysis.isoflops.groups import IsoflopGroup, isoflop_groups
from isoflop.analysis.isoflops.minima import Minima, convex, quadratic
from isoflop.analysis.laws import find_law
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.options import FitOptions
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.scores import HeldOutMinimum, HeldOutRun, Holdout
from isoflop.analysis.solver.search import covariates
from isoflop.analysis.uncertainty.intervals import span
from isoflop.analysis.uncertainty.quantities import optimum
from isoflop.analysis.uncertainty.run_noise import seed_noise
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


def split(table: RunTable, c_min: float) -> tuple[RunTable, RunTable]:
    """The runs below `c_min` FLOPs and those at or above it, by nominal budget where a run has one.

    Raises `UserError` where either side is empty.
    """
    size_R = table.C_R
    if table.budget_R is not None:
        size_R = np.where(np.isfinite(table.budget_R), table.budget_R, size_R)
    above_R = size_R >= c_min * (1 - 1e-9)
    if above_R.all() or not above_R.any():
        side = "below" if above_R.all() else "at or above"
        raise UserError(
            f"--holdout {c_min:.3g}: no run lies {side} it; the runs span {size_R.min():.3g} to "
            f"{size_R.max():.3g} FLOPs"
        )
    return table.where(~above_R), table.where(above_R)


def score(result: ApproachResult, table: RunTable, held: RunTable, options: FitOptions) -> Holdout:
    """The held-out runs against their predictions, and the largest held-out budget's minimum against its own.

    An interval is predictive: bootstrap draws of the fit, and on each a normal error of the fit's residual
    spread or the seeds', whichever is larger.
    """
    rng = np.random.default_rng([options.seed, 1])
    seeds = seed_noise(table)
    noise = max(result.noise, seeds.log_sd if seeds else 0.0)
    rows = () if result.law is None else _rows(result, held, noise, options, rng)
    errors = np.array([row.error for row in rows])
    inside = [row.inside for row in rows if row.inside is not None]
    return Holdout(
        c_min=float(options.holdout or 0.0),
        n_fit=len(table) - len(held),
        n_held_out=len(held),
        rows=rows,
        mean_abs_error=float(np.abs(errors).mean()) if rows else None,
        bias=float(errors.mean()) if rows else None,
        coverage=float(np.mean(inside)) if inside else None,
        noise_log_sd=noise,
        optimum=_optimum(result, per_token(table), held, noise, options, rng),
    )


def _rows(
    result: ApproachResult, held: RunTable, noise: float, options: FitOptions, rng: np.random.Generator
) -> tuple[HeldOutRun, ...]:
    law = find_law(result.law or "")
    params_P = np.array(list(result.params.values()), dtype=float)
    inputs = (held.N_R, held.D_R, *covariates(held, law))
    predicted_R = evaluate(law, params_P, *inputs)
    # Predictive: what the parameters leave open, times a run's own noise, drawn once for each.
    draws = np.full((0, len(held)), np.nan)
    if result.draws_BxP is not None:
        draws = evaluate(law, result.draws_BxP, *inputs)
        draws = draws * np.exp(noise * rng.standard_normal(draws.shape))
    return tuple(
        HeldOutRun(
            row=int(held.frame.index[r]),
            n_params=float(held.N_R[r]),
            n_tokens=float(held.D_R[r]),
            flops=float(held.C_R[r]),
            loss=float(held.loss_R[r]),
            predicted=float(predicted_R[r]),
            interval=span(draws[:, r], options.level) if len(draws) else (None, None),
            error=float(held.loss_R[r] - predicted_R[r]),
        )
        for r in range(len(held))
    )


def _optimum(
    result: ApproachResult,
    cost: PerToken,
    held: RunTable,
    noise: float,
    options: FitOptions,
    rng: np.random.Generator,
) -> HeldOutMinimum | None:
    """The minimum of the largest held-out budget's own curve, and what the smaller budgets said of it."""
    groups = isoflop_groups(held)
    if not groups:
        return None
    group, B = groups[-1], options.bootstrap
    minima, bends = _measured(held, group, noise, options, rng)
    n_B, loss_B = _predicted(result, group.flops, cost, B)
    known = bool(minima.bracketed_B[0])
    n_opt_interval = loss_opt_interval = None
    if B:
        # Each draw of the prediction is moved as far as the noise moves the measured minimum.
        with np.errstate(all="ignore"):  # draws may lie far out; what is not finite does not count
            size_B = np.exp(minima.x_B)
            n_shift, loss_shift = (x[2:] / x[1] if known else 1.0 for x in (size_B, minima.loss_B))
            n_opt_interval = span(n_B[1:] * n_shift, options.level)
            loss_opt_interval = span(loss_B[1:] * loss_shift, options.level)
    return HeldOutMinimum(
        flops=group.flops,
        curve=options.curve,
        interior=known,
        convex=bends,
        n_opt=float(np.exp(minima.x_B[0])) if known else None,
        n_opt_predicted=float(n_B[0]),
        n_opt_interval=n_opt_interval,
        loss_opt=float(minima.loss_B[0]) if known else None,
        loss_opt_predicted=float(loss_B[0]),
        loss_opt_interval=loss_opt_interval,
        error=float(minima.loss_B[0] - loss_B[0]) if known and np.isfinite(loss_B[0]) else None,
    )


def _measured(
    held: RunTable, group: IsoflopGroup, noise: float, options: FitOptions, rng: np.random.Generator
) -> tuple[Minima, bool]:
    """The group's own minimum (first), that of its smooth parabola, and B redraws of that under the noise.

    Second, whether the parabola is convex.
    """
    N_R, loss_R = held.N_R[group.rows], held.loss_R[group.rows]
    x0, coefficients = quadratic(N_R, loss_R[None])
    smooth_R = np.vander(np.log(N_R) - x0, 3, increasing=True) @ coefficients[0]
    # About the smooth parabola, not about the runs: their noise is in them already.
    redrawn_BxR = smooth_R * np.exp(noise * rng.standard_normal((options.bootstrap, len(N_R))))
    at = [IsoflopGroup(group.flops, np.arange(len(N_R)))]
    (minima,) = group_minima(N_R, at, options.curve, np.concatenate([[loss_R], [smooth_R], redrawn_BxR]))
    return minima, bool(convex(N_R, coefficients)[0])


def _predicted(result: ApproachResult, C: float, cost: PerToken, B: int) -> tuple[np.ndarray, np.ndarray]:
    """N_opt and the loss there from the fit (first) and from its bootstrap draws."""
    params_BxP = np.array(list(result.params.values()), dtype=float)[None]
    if B and result.draws_BxP is not None:
        params_BxP = np.concatenate([params_BxP, result.draws_BxP])
    if result.law is None:
        coefficient, exponent, _, _, E, K, gamma = params_BxP.T
        with np.errstate(all="ignore"):
            return coefficient * C**exponent, E + K * C**-gamma
    return optimum(find_law(result.law), params_BxP, C, cost)
