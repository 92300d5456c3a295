"""Approach 1: the envelope of the lowest loss at each compute. Hoffmann et al. (2022), section 3.1.

Only runs that ended their schedule enter it. The paper reads its envelope off whole training curves at 1,500
log-spaced computes; a point of an unfinished schedule has a loss that no finished run of its length would
have, so here it never counts, and the envelope is as fine as the grid of finished runs.
"""

from __future__ import annotations

import numpy as np

from isoflop.analysis.approaches.approach2 import ENOUGH_MINIMA
from isoflop.analysis.approaches.approach_result import ApproachResult
from isoflop.analysis.approaches.envelope import Contenders, contenders, resampled
from isoflop.analysis.compute import per_token
from isoflop.analysis.isoflops.budget import Budget
from isoflop.analysis.isoflops.groups import NEARLY_EQUAL
from isoflop.analysis.isoflops.power_laws import FRONTIER, identified_loss, loss_doubts
from isoflop.analysis.options import FitOptions
from isoflop.analysis.run_table import RunTable
from isoflop.base.errors import UserError


def approach1(table: RunTable, options: FitOptions) -> ApproachResult:
    """Power laws through the runs that no run of at most their compute beats.

    Raises `UserError` where all of the envelope is one budget.
    """
    runs = contenders(table)
    on_K = runs.on(runs.loss_K[None])[0]
    C_on = runs.C_K[on_K]
    if C_on[-1] <= C_on[0] * (1 + NEARLY_EQUAL):
        raise UserError(
            f"{table.source}: the runs of one budget beat all others; approach 1 needs budgets of growing "
            "compute"
        )
    draws, resampling = None, ""
    if options.bootstrap:
        resampling, pieces = resampled(table, runs, options, np.random.default_rng(options.seed))
        draws = np.concatenate([runs.frontier(loss_BxK) for loss_BxK in pieces])
    first = runs.frontier(runs.loss_K[None])[0]
    found, enough = _count(runs, on_K)
    return ApproachResult(
        law=None,
        params=dict(zip(FRONTIER, map(float, first), strict=True)),
        exponents={"a": float(first[1]), "b": float(first[3])},
        cost=per_token(table),
        identified=dict.fromkeys(("a", "b"), enough) | identified_loss(first, found),
        budgets=tuple(_point(runs, int(k)) for k in np.flatnonzero(on_K)),
        draws_BxP=draws,
        exponent_draws_BxK=None if draws is None else draws[:, [1, 3]],
        resampling=resampling,
        warnings=(*_warnings(runs, on_K, found, enough), *loss_doubts(first, found)),
    )


def _count(runs: Contenders, on_K: np.ndarray) -> tuple[int, bool]:
    """Sizes or budgets on the envelope, whichever are fewer, and whether they are enough.

    Three, as for approach 2, if sizes on both sides were run at nearly their compute; where too few were run
    there to say, it takes twice as many.
    """
    # The fewer of the two: ten budgets at which one size wins show no growth of N_opt, and ten sizes at one
    # budget are one point.
    known, usable = (
        min(len(np.unique(x[on_K & chosen_K])) for x in (runs.C_K, runs.N_K))
        for chosen_K in (runs.inside_K == 1, runs.inside_K != 0)
    )
    return usable, known >= ENOUGH_MINIMA or usable >= 2 * ENOUGH_MINIMA


def _warnings(runs: Contenders, on_K: np.ndarray, found: int, enough: bool) -> tuple[str, ...]:
    lines = []
    edge = int((on_K & (runs.inside_K == 0)).sum())
    if edge:
        lines.append(f"{edge} points of the envelope are the smallest or largest size run there")
    if not enough:
        needed = f"exponents need {ENOUGH_MINIMA} inside the sizes run, or {2 * ENOUGH_MINIMA}"
        lines.append(f"only {found} sizes or budgets on the envelope: {needed}")
    return tuple(lines)


def _point(runs: Contenders, k: int) -> Budget:
    return Budget(
        flops=float(runs.C_K[k]),
        n_opt=float(runs.N_K[k]),
        d_opt=float(runs.D_K[k]),
        loss_opt=float(runs.loss_K[k]),
        interior=None if runs.inside_K[k] < 0 else bool(runs.inside_K[k]),
        convex=None,
        runs=1,
    )
