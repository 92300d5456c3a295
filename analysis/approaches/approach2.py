"""Approach 2: a curve through each IsoFLOP budget, its minimum, and power laws through the minima.

Hoffmann et al. (2022), section 3.2, fit parabolas; `FitOptions.curve` names what others use.
"""

from __future__ import annotations

import itertools

import numpy as np

from isoflop.analysis.approaches.approach_result import ApproachResult
from isoflop.analysis.approaches.curve_noise import CurveNoise, curve_noise
from isoflop.analysis.approaches.diagnostics import shape, surface_bias, surface_of
from isoflop.analysis.compute import PerToken, per_token
from isoflop.analysis.isoflops.budget import Budget
from isoflop.analysis.isoflops.groups import IsoflopGroup, isoflop_groups
from isoflop.analysis.isoflops.minima import CURVES, Minima, open_interval
from isoflop.analysis.isoflops.power_laws import FRONTIER, frontier_params, identified_loss, loss_doubts
from isoflop.analysis.isoflops.sizes_to_add import doubts, no_groups, sizes_to_add
from isoflop.analysis.options import Curve, FitOptions
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.uncertainty.resampling import batches
from isoflop.base.errors import UserError

ENOUGH_MINIMA = 3
"""Minima below which a slope through them has no check."""
LEAST_SD = 1e-3
"""Floor of a minimum's standard deviation in log N before it weighs: no size is known to a thousandth."""


def approach2(table: RunTable, options: FitOptions) -> ApproachResult:
    """The minimum of each budget, and power laws through those that the runs bracket.

    Raises `UserError` where the table holds no IsoFLOP groups, or under 6ND when its groups are equal in
    exact C.
    """
    groups = isoflop_groups(table)
    if len(groups) < 2:
        raise UserError(no_groups(table, len(groups)))
    cost = per_token(table)
    noise = curve_noise(table, groups, options.curve)
    first = group_minima(table.N_R, groups, options.curve, table.loss_R[None])
    draws = _redraw(table, groups, first, noise, options) if options.bootstrap else None
    bias = surface_bias(table, groups, options.curve, surface_of(table, options), cost)
    budgets = tuple(
        _budget(table, group, first[k], draws[k] if draws is not None else None, bias[k], cost, options)
        for k, group in enumerate(groups)
    )
    weight_K = _weights(budgets, options)
    params = frontier_through(groups, first, first, cost, weight_K)[0]
    draws_BxP = None if draws is None else frontier_through(groups, first, draws, cost, weight_K)
    counted_K = np.array([budget.n_opt is not None for budget in budgets]) & (
        weight_K is None or weight_K > 0
    )
    enough = bool(counted_K.sum() >= ENOUGH_MINIMA)
    return ApproachResult(
        law=None,
        params=dict(zip(FRONTIER, map(float, params), strict=True)),
        exponents={"a": float(params[1]), "b": float(params[3])},
        cost=cost,
        identified=dict.fromkeys(("a", "b"), enough) | identified_loss(params, int(counted_K.sum())),
        budgets=budgets,
        draws_BxP=draws_BxP,
        exponent_draws_BxK=None if draws_BxP is None else draws_BxP[:, [1, 3]],
        resampling=noise.description,
        noise=noise.sd,
        warnings=(
            *sizes_to_add(table, groups, budgets, first),
            *doubts(budgets, enough, bool(options.bootstrap and noise.freedom < 1)),
            *loss_doubts(params, int(counted_K.sum())),
        ),
        notes={
            "budgets_in": "6 N D" if cost.six_n else "the table's own FLOPs",
            "curve": options.curve,
            "minima_weights": options.minima_weights,
        },
    )


def isoflop_budgets(table: RunTable, curve: Curve = "parabola") -> tuple[Budget, ...]:
    """Each budget's minimum, for as few as one budget: without intervals, and without power laws."""
    groups, cost = isoflop_groups(table), per_token(table)
    first = group_minima(table.N_R, groups, curve, table.loss_R[None])
    options = FitOptions(approach=2, curve=curve, bootstrap=0)
    return tuple(
        _budget(table, group, minima, None, None, cost, options)
        for group, minima in zip(groups, first, strict=True)
    )


def group_minima(
    N_R: np.ndarray, groups: list[IsoflopGroup], curve: str, loss_BxR: np.ndarray
) -> list[Minima]:
    """Each group's minimum for B sets of the table's losses, nats per token."""
    return [CURVES[curve](N_R[group.rows], loss_BxR[:, group.rows]) for group in groups]


def frontier_through(
    groups: list[IsoflopGroup],
    first: list[Minima],
    minima: list[Minima],
    cost: PerToken,
    weight_K: np.ndarray | None = None,
) -> np.ndarray:
    """The values of `FRONTIER`, Bx7, through the minima of the groups that bracket one in `first`.

    A redrawn parabola's vertex counts beyond the runs too: cutting it off there would make the slopes look
    surer. An interpolant's or the best run's minimum at an end is none.
    """
    # A group without a minimum in the table has none in any draw: the set of budgets that the slope goes
    # through is part of the method, not of the noise.
    C_K = np.array([group.flops for group in groups])
    valid_K = np.array([bool(m.bracketed_B[0]) for m in first])
    if not valid_K.any():
        return np.full((len(minima[0].x_B), len(FRONTIER)), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        N_BxK = np.exp(np.stack([m.x_B for m in minima], axis=1))
        N_BxK = np.where(valid_K & np.isfinite(N_BxK) & (N_BxK > 0), N_BxK, np.nan)
        loss_BxK = np.where(np.isnan(N_BxK), np.nan, np.stack([m.loss_B for m in minima], axis=1))
        return frontier_params(C_K, N_BxK, C_K / cost(N_BxK), loss_BxK, weight_K)


def _redraw(
    table: RunTable, groups: list[IsoflopGroup], first: list[Minima], noise: CurveNoise, options: FitOptions
) -> list[Minima]:
    """Minima of redrawn losses, shifted by what separates the smooth curve's minimum from the table's."""
    rng = np.random.default_rng(options.seed)
    # The groups as they stand in `noise`, one after the other: only their runs are redrawn.
    sizes, starts = table.N_R[noise.rows_G], np.cumsum([0, *(len(group.rows) for group in groups)])
    at = [
        IsoflopGroup(group.flops, np.arange(first, last))
        for group, (first, last) in zip(groups, itertools.pairwise(starts), strict=True)
    ]
    smooth = group_minima(sizes, at, options.curve, noise.smooth_G[None])
    chunks = [
        group_minima(sizes, at, options.curve, noise.smooth_G * np.exp(noise.draw(b, rng)))
        for b in batches(options.bootstrap, len(sizes))
    ]
    return [
        _shifted(first[k], smooth[k], [chunk[k] for chunk in chunks], noise, rng) for k in range(len(groups))
    ]


def _shifted(
    first: Minima, smooth: Minima, parts: list[Minima], noise: CurveNoise, rng: np.random.Generator
) -> Minima:
    x_B, loss_B, side_B, coarse_Bx2 = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("x_B", "loss_B", "side_B", "coarse_Bx2")
    )
    between = rng.uniform(size=len(x_B))  # the best run is only the nearest size to the minimum
    x_B = x_B - coarse_Bx2[:, 0] + between * coarse_Bx2.sum(axis=1)
    # The smooth curve stands for the truth: what its redraws show is the scatter about its own minimum, which
    # is carried over to the minimum that the runs have.
    if first.bracketed_B[0] and smooth.bracketed_B[0]:
        x_B = x_B + first.x_B[0] - smooth.x_B[0]
        loss_B = loss_B + first.loss_B[0] - smooth.loss_B[0]
    if noise.freedom < 1:  # nothing is known of the scatter: neither end of any interval is
        nothing_B = np.full_like(x_B, np.nan)
        return Minima(nothing_B, nothing_B, nothing_B, coarse_Bx2)
    return Minima(x_B, loss_B, side_B, coarse_Bx2)


def _budget(
    table: RunTable,
    group: IsoflopGroup,
    first: Minima,
    draws: Minima | None,
    bias: float | None,
    cost: PerToken,
    options: FitOptions,
) -> Budget:
    form = shape(table.N_R[group.rows], table.loss_R[group.rows])
    valid = bool(first.bracketed_B[0])
    n_opt = float(np.exp(first.x_B[0])) if valid else None
    return Budget(
        flops=group.flops,
        n_opt=n_opt,
        d_opt=None if n_opt is None else float(group.flops / cost(np.array(n_opt))),
        loss_opt=float(first.loss_B[0]) if valid else None,
        interior=valid,
        convex=form.convex,
        runs=len(group.rows),
        n_interval=open_interval(draws, options.level) if valid and draws else None,
        curve=form.curve,
        n_log_sd=_log_sd(draws) if valid and draws else None,
        centring=form.centring,
        width=form.width,
        half_width=form.half_width,
        bias=bias,
        bias_percent=None if bias is None else float(100 * np.expm1(bias)),
    )


def _log_sd(draws: Minima) -> float | None:
    """Standard deviation of log N at the minimum, larger the fewer draws have one; None if less than half
    do."""
    kept = draws.x_B[draws.bracketed_B]
    return float(kept.std() * len(draws.x_B) / len(kept)) if 2 * len(kept) >= len(draws.x_B) else None


def _weights(budgets: tuple[Budget, ...], options: FitOptions) -> np.ndarray | None:
    """One over the variance of each log N_opt; None where all minima count alike."""
    if options.minima_weights == "equal":
        return None
    if not options.bootstrap:
        raise UserError("minima_weights precision needs the redraws: give --bootstrap 20 or more")
    sd_K = np.array([np.inf if b.n_log_sd is None else max(b.n_log_sd, LEAST_SD) for b in budgets])
    return 1.0 / sd_K**2
