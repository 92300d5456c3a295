"""Approach 1: the envelope of the lowest loss at each compute. Hoffmann et al. (2022), section 3.1.

Only runs that ended their schedule enter it. The paper reads its envelope off whole training curves; a
point of an unfinished schedule has a loss that no finished run of its length would have, so here it never
counts.
"""

from __future__ import annotations

import numpy as np

from analysis.compute import per_token
from analysis.errors import UserError
from analysis.fitting.approach2 import ENOUGH
from analysis.fitting.frontier import FRONTIER, frontier_params
from analysis.fitting.groups import NEARLY
from analysis.fitting.outcome import Outcome
from analysis.options import FitOptions
from analysis.result import Budget
from analysis.runs import RunTable


def approach1(table: RunTable, options: FitOptions) -> Outcome:
    """Power laws through the runs that no run of at most their compute beats.

    Raises `UserError` where fewer than two runs are on the envelope.
    """
    order = np.argsort(table.C_R, kind="stable")
    C_R, N_R, D_R, loss_R = (x[order] for x in (table.C_R, table.N_R, table.D_R, table.loss_R))
    reach_R = np.searchsorted(C_R, C_R * (1 + NEARLY), side="right") - 1
    rng = np.random.default_rng(options.seed)
    weight_BxR = np.ones((1, len(table)))
    if options.bootstrap:
        drawn = rng.multinomial(len(table), np.full(len(table), 1 / len(table)), size=options.bootstrap)
        weight_BxR = np.concatenate([weight_BxR, drawn])
    seen_BxR = np.where(weight_BxR > 0, loss_R, np.inf)
    on_BxR = (weight_BxR > 0) & (seen_BxR <= np.minimum.accumulate(seen_BxR, axis=1)[:, reach_R])
    if on_BxR[0].sum() < 2:
        raise UserError(
            f"{table.source}: one run beats all others; approach 1 needs budgets of growing compute"
        )
    inside_R = _inside(C_R, N_R)
    used_BxR = on_BxR & (inside_R != 0)
    params_BxP = frontier_params(C_R, *(np.where(used_BxR, x, np.nan) for x in (N_R, D_R, loss_R)))
    draws = params_BxP[1:] if options.bootstrap else None
    first, found = params_BxP[0], int(used_BxR[0].sum())
    edge = int((on_BxR[0] & (inside_R == 0)).sum())
    warnings = (
        [] if not edge else [f"{edge} points of the envelope are the smallest or largest size run there"]
    )
    if found < ENOUGH:
        warnings.append(f"only {found} points on the envelope: exponents need at least {ENOUGH}")
    return Outcome(
        law=None,
        params=dict(zip(FRONTIER, map(float, first), strict=True)),
        exponents={"a": float(first[1]), "b": float(first[3])},
        cost=per_token(table),
        identified=dict.fromkeys(("a", "b"), found >= ENOUGH),
        budgets=tuple(
            _point(C_R[r], N_R[r], D_R[r], loss_R[r], int(inside_R[r])) for r in np.flatnonzero(on_BxR[0])
        ),
        draws_BxP=draws,
        exponent_draws_Bx2=None if draws is None else draws[:, [1, 3]],
        resampling="runs, with replacement",
        warnings=tuple(warnings),
    )


def _inside(C_R: np.ndarray, N_R: np.ndarray) -> np.ndarray:
    """1: sizes on both sides were run at nearly the same compute; 0: not; -1: too few runs there to say.

    C_R ascends.
    """
    first = np.searchsorted(C_R, C_R / (1 + NEARLY), side="left")
    last = np.searchsorted(C_R, C_R * (1 + NEARLY), side="right")
    verdict = np.full(len(C_R), -1)
    for r, (low, high) in enumerate(zip(first, last, strict=True)):
        near = N_R[low:high]
        if len(np.unique(near)) >= 3:
            verdict[r] = int(near.min() < N_R[r] < near.max())
    return verdict


def _point(C: float, N: float, D: float, loss: float, inside: int) -> Budget:
    return Budget(
        flops=float(C),
        n_opt=float(N),
        d_opt=float(D),
        loss_opt=float(loss),
        interior=None if inside < 0 else bool(inside),
        convex=None,
        runs=1,
    )
