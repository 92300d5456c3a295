"""What a budget's runs can and cannot say of its minimum: where they lie, how flat it is, how biased."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from isoflop.analysis.compute import PerToken
from isoflop.analysis.isoflops.groups import IsoflopGroup
from isoflop.analysis.isoflops.minima import CURVES, convex, quadratic
from isoflop.analysis.laws import find_law
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.options import FitOptions
from isoflop.analysis.result import optimal_size
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.solver.search import fit_problem, search
from isoflop.base.errors import UserError

SURFACE = "chinchilla"
SURFACE_STARTS = 32
"""Most starts of its search: it is no fit that is reported, and has no certificate."""
SURFACE_RUNS = 2000
"""A larger table is thinned before its surface is fitted: a bias needs no more."""
SPARE_RUNS = 2
"""Runs beyond the law's parameters below which no surface is fitted: it would go through every run."""
HALF_WIDTH_RISE = 0.01
"""Nats per token: what `Shape.half_width` allows the loss to rise."""


@dataclass(frozen=True)
class Shape:
    """One budget's runs around the vertex of their parabola; logarithms are natural."""

    convex: bool
    centring: float | None
    width: float
    half_width: float | None
    curve: tuple[float, float, float]


def shape(N_R: np.ndarray, loss_R: np.ndarray) -> Shape:
    """See `isoflop.analysis.result.Budget` for the fields."""
    # Fitted about x0; `curve` is the same parabola in powers of log N itself, which a reader can evaluate.
    x0, coefficients = quadratic(N_R, loss_R[None])
    c0, c1, c2 = (float(c) for c in coefficients[0])
    bends = bool(convex(N_R, coefficients)[0])
    low, high = float(np.log(N_R.min())), float(np.log(N_R.max()))
    return Shape(
        convex=bends,
        centring=(x0 - c1 / (2 * c2) - 0.5 * (low + high)) / (0.5 * (high - low)) if bends else None,
        width=high - low,
        half_width=float(np.sqrt(HALF_WIDTH_RISE / c2)) if bends else None,
        curve=(c0 - c1 * x0 + c2 * x0**2, c1 - 2 * c2 * x0, c2),
    )


def surface_of(table: RunTable, options: FitOptions) -> np.ndarray | None:
    """Parameters of L(N, D) = E + A/N^alpha + B/D^beta fitted to the runs, by their own objective; None where
    the runs are too few for it or no start can be evaluated.
    """
    law = find_law(SURFACE)
    if len(table) < len(law.parameters) + SPARE_RUNS:
        return None
    # Thinned evenly by rank in compute, so that no budget is lost.
    if len(table) > SURFACE_RUNS:
        keep_R = np.zeros(len(table), dtype=bool)
        keep_R[np.argsort(table.C_R)[np.linspace(0, len(table) - 1, SURFACE_RUNS).astype(int)]] = True
        table = table.where(keep_R)
    options = dataclasses.replace(options, law=SURFACE)
    try:
        found = search(fit_problem(table, law, options), table.loss_R, min(options.starts, SURFACE_STARTS))
    except UserError:
        return None
    return found.params_SxP[found.best]


def surface_bias(
    table: RunTable, groups: list[IsoflopGroup], curve: str, params_P: np.ndarray | None, cost: PerToken
) -> list[float | None]:
    """For each group, log N at the curve's minimum less log N_opt, both on a surface without noise.

    The curve goes through the surface's losses at exactly the group's N and D. A parabola through a curve
    that is none misses its minimum, the more so the wider or the less centred the runs are (Czech et al.
    2026, arXiv 2603.22339). None where the surface has no optimum there, or the curve no minimum
    within the runs.
    """
    if params_P is None:
        return [None] * len(groups)
    law = find_law(SURFACE)
    N_K = optimal_size(law, params_P, np.array([group.flops for group in groups]), cost)
    found: list[float | None] = []
    for group, n_opt in zip(groups, N_K, strict=True):
        loss_R = evaluate(law, params_P, table.N_R[group.rows], table.D_R[group.rows])
        minima = CURVES[curve](table.N_R[group.rows], np.asarray(loss_R)[None])
        known = bool(minima.bracketed_B[0]) and np.isfinite(n_opt) and n_opt > 0
        found.append(float(minima.x_B[0] - np.log(n_opt)) if known else None)
    return found
