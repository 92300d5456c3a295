"""Approach 2: IsoFLOP parabolas. Hoffmann et al. (2022), section 3.2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute import PerToken, per_token
from analysis.errors import UserError
from analysis.fitting.frontier import FRONTIER, frontier_params
from analysis.fitting.groups import Group, isoflop_groups
from analysis.fitting.outcome import Outcome, span
from analysis.fitting.resampling import Resamples, trunk_noise, trunks_of
from analysis.options import FitOptions
from analysis.result import Budget
from analysis.runs import RunTable

ENOUGH = 3
"""Minima below which a slope through them has no check."""


@dataclass(frozen=True)
class Parabola:
    """loss = c0 + c1 (x - x0) + c2 (x - x0)^2 in x = log N at one budget; B of them over resamples."""

    group: Group
    x0: float
    low: float
    high: float
    coefficients_Bx3: np.ndarray

    @property
    def convex_B(self) -> np.ndarray:
        return self.coefficients_Bx3[:, 2] > 0

    @property
    def vertex_B(self) -> np.ndarray:
        """log N at the vertex; NaN where the curve is not convex."""
        _, c1, c2 = self.coefficients_Bx3.T
        return np.where(c2 > 0, self.x0 - c1 / (2 * np.where(c2 > 0, c2, 1.0)), np.nan)

    @property
    def minimum_B(self) -> np.ndarray:
        """Loss at the vertex, nats."""
        c0, c1, c2 = self.coefficients_Bx3.T
        return np.where(c2 > 0, c0 - c1**2 / (4 * np.where(c2 > 0, c2, 1.0)), np.nan)

    @property
    def interior(self) -> bool:
        """The first curve's vertex lies strictly between its smallest and its largest size."""
        return bool(self.low < self.vertex_B[0] < self.high)


def parabola(table: RunTable, group: Group, loss_BxR: np.ndarray) -> Parabola:
    """Least squares of loss on log N over the group's runs, for each of B sets of losses."""
    x = np.log(table.N_R[group.rows])
    basis = np.vander(x - x.mean(), 3, increasing=True)
    coefficients = loss_BxR[:, group.rows] @ np.linalg.pinv(basis).T
    return Parabola(group, float(x.mean()), float(x.min()), float(x.max()), coefficients)


def approach2(table: RunTable, options: FitOptions) -> Outcome:
    """Parabolas, their minima, and power laws through those that the runs bracket.

    Raises `UserError` where the table holds no IsoFLOP groups, or under 6ND when its groups are equal in
    exact C.
    """
    groups = isoflop_groups(table)
    if len(groups) < 2:
        raise UserError(_no_groups(table, len(groups)))
    cost = per_token(table)
    rng = np.random.default_rng(options.seed)
    fitted_R = _fitted(table, groups)
    resamples = resample_residuals(table, groups, fitted_R, options.bootstrap, rng)
    loss_BxR = np.concatenate([table.loss_R[None], resamples.loss_BxR])
    curves = [parabola(table, group, loss_BxR) for group in groups]
    budgets, params_BxP = _minima(curves, cost, options.level, options.bootstrap)
    first = params_BxP[0]
    draws = params_BxP[1:] if options.bootstrap else None
    found = sum(budget.n_opt is not None for budget in budgets)
    return Outcome(
        law=None,
        params=dict(zip(FRONTIER, map(float, first), strict=True)),
        exponents={"a": float(first[1]), "b": float(first[3])},
        cost=cost,
        identified=dict.fromkeys(("a", "b"), found >= ENOUGH),
        budgets=budgets,
        draws_BxP=draws,
        exponent_draws_Bx2=None if draws is None else draws[:, [1, 3]],
        resampling=resamples.how,
        noise=_noise(table, groups, fitted_R),
        warnings=(*_advice(curves), *_too_few(found)),
        notes={"budgets_in": "the table's own FLOPs" if not cost.six_n else "6 N D"},
    )


def resample_residuals(
    table: RunTable, groups: list[Group], fitted_R: np.ndarray, B: int, rng: np.random.Generator
) -> Resamples:
    """Residuals about the parabolas, pooled over budgets: a curve of five runs cannot lose some of them."""
    rows = np.concatenate([group.rows for group in groups])
    residual = np.log(table.loss_R[rows]) - np.log(fitted_R[rows])
    trunks = trunks_of(table)
    member = np.arange(len(rows)) if trunks is None else np.unique(trunks[rows], return_inverse=True)[1]
    how = "residuals about the parabolas"
    loss_BxR = np.tile(table.loss_R, (B, 1))
    if B:
        if trunks is None:
            inflate = np.sqrt(len(rows) / max(len(rows) - 3 * len(groups), 1))
            noise = inflate * rng.choice(residual, size=(B, len(rows)))
        else:
            noise = trunk_noise(residual, member, 3 * len(groups), B, rng)
            how += f" with an effect of each of {len(np.unique(member))} shared trunks"
        loss_BxR[:, rows] = fitted_R[rows] * np.exp(noise)
    return Resamples(np.ones((1, len(table))), loss_BxR, how)


def _fitted(table: RunTable, groups: list[Group]) -> np.ndarray:
    fitted_R = table.loss_R.copy()
    for group in groups:
        curve = parabola(table, group, table.loss_R[None])
        x = np.log(table.N_R[group.rows]) - curve.x0
        fitted_R[group.rows] = np.vander(x, 3, increasing=True) @ curve.coefficients_Bx3[0]
    return fitted_R


def _noise(table: RunTable, groups: list[Group], fitted_R: np.ndarray) -> float:
    rows = np.concatenate([group.rows for group in groups])
    residual = np.log(table.loss_R[rows]) - np.log(fitted_R[rows])
    return float(np.sqrt((residual**2).sum() / max(len(rows) - 3 * len(groups), 1)))


def _minima(
    curves: list[Parabola], cost: PerToken, level: float, bootstrap: int
) -> tuple[tuple[Budget, ...], np.ndarray]:
    """Each budget's minimum, and the frontier through those that are interior and convex (first row: the
    fit).
    """
    C_K = np.array([curve.group.flops for curve in curves])
    valid_K = np.array([curve.interior and bool(curve.convex_B[0]) for curve in curves])
    with np.errstate(over="ignore"):
        N_BxK = np.exp(np.stack([curve.vertex_B for curve in curves], axis=1))
    loss_BxK = np.where(valid_K, np.stack([curve.minimum_B for curve in curves], axis=1), np.nan)
    N_BxK = np.where(valid_K, N_BxK, np.nan)
    with np.errstate(invalid="ignore"):
        D_BxK = C_K / cost(N_BxK)
    budgets = []
    for k, curve in enumerate(curves):
        valid = bool(valid_K[k])
        c0, c1, c2 = curve.coefficients_Bx3[0]
        x0 = curve.x0
        budgets.append(
            Budget(
                flops=float(C_K[k]),
                n_opt=float(N_BxK[0, k]) if valid else None,
                d_opt=float(D_BxK[0, k]) if valid else None,
                loss_opt=float(loss_BxK[0, k]) if valid else None,
                interior=curve.interior,
                convex=bool(curve.convex_B[0]),
                runs=len(curve.group.rows),
                n_interval=span(N_BxK[1:, k], level) if valid and bootstrap else None,
                curve=(float(c0 - c1 * x0 + c2 * x0**2), float(c1 - 2 * c2 * x0), float(c2)),
            )
        )
    return tuple(budgets), frontier_params(C_K, N_BxK, D_BxK, loss_BxK)


def _advice(curves: list[Parabola]) -> tuple[str, ...]:
    """For every curve without a minimum: which sizes to add."""
    lines = []
    for curve in curves:
        low, high = np.exp(curve.low), np.exp(curve.high)
        name = f"budget {curve.group.flops:.3g}"
        if not curve.convex_B[0]:
            lines.append(
                f"{name}: the parabola is concave and has no minimum; add sizes on both sides, "
                f"around N = {low / 2:.2g} and N = {2 * high:.2g}"
            )
        elif not curve.interior:
            smaller = curve.vertex_B[0] <= curve.low
            side, sizes = ("smallest", f"{low / 2:.2g} and {low / 4:.2g}") if smaller else (
                "largest", f"{2 * high:.2g} and {4 * high:.2g}")  # fmt: skip
            lines.append(f"{name}: the minimum lies at or beyond the {side} size; add sizes near N = {sizes}")
    return tuple(lines)


def _too_few(found: int) -> tuple[str, ...]:
    if found >= ENOUGH:
        return ()
    return (f"only {found} budgets have an interior convex minimum: exponents need at least {ENOUGH}",)


def _no_groups(table: RunTable, count: int) -> str:
    if table.budget_R is not None and table.conventions["flops"] == "6nd":
        return (
            f"{table.source}: its budgets are equal in the table's own FLOPs, not in 6ND; use --flops exact, "
            "or --approach 3, whose surface gives exponents under any count"
        )
    return (
        f"{table.source} has {count} budgets with three sizes or more, and approach 2 needs two: give a "
        "budget column, runs of nearly equal FLOPs, or use --approach 3"
    )
