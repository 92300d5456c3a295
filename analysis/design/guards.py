"""What has to be there before a choice may trust the law: minima inside, sizes enough, from end to end.

The best design for a law assumed true has as many distinct cells as the law has parameters, and could not
notice that the law is wrong. So the tested budgets (the lowest, the middle and the highest) have to have
several sizes each, and every budget that has been begun a minimum inside its sizes; only what is spent beyond
that follows the criterion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from isoflop.analysis.design.space import Pick, Space, Trunk, marks

SIZES_OF_TESTED_BUDGET = 5
"""Distinct sizes that a tested budget should have: two more than a parabola takes, to see where it fails."""
WINDOW_FACTOR = 3.0
"""Factor in N from the fitted optimum within which cells may lie: beyond it the law has to hold far out."""


def budgets_to_test(budgets: int) -> list[int]:
    """Positions of the budgets at which the law is tested: the lowest, the middle and the highest."""
    return sorted({0, (budgets - 1) // 2, budgets - 1})


def window(space: Space, log_N_B: np.ndarray) -> np.ndarray:
    """Which cells lie within `WINDOW_FACTOR` of the optimum, log_N_B at each budget, FxB; the nearest
    `SIZES_OF_TESTED_BUDGET` do."""
    away_FxB = np.where(space.possible_FxB, np.abs(np.log(space.N_F)[:, None] - log_N_B), np.inf)
    # The rank of each size by distance, at each budget: where sizes are sparse the nearest few count, however
    # far they are.
    near_FxB = np.argsort(np.argsort(away_FxB, axis=0, kind="stable"), axis=0) < SIZES_OF_TESTED_BUDGET
    return (near_FxB | (away_FxB <= np.log(WINDOW_FACTOR))) & space.possible_FxB


def optima(
    space: Space, log_N_B: np.ndarray, loss_FxB: np.ndarray, between: tuple[float, float] = (0.3, 0.7)
) -> np.ndarray:
    """The optimum at each budget, log N, kept near what has been seen.

    `log_N_B`: the fitted law's, NaN where it has none. `loss_FxB`: mean losses, NaN where there is no run. At
    a budget with runs the optimum is not sought further outside their sizes than a `WINDOW_FACTOR`; at the
    others not further from the nearest budget with runs than an exponent `between` leads. Without any run it
    is the law's, or the middle of the sizes.
    """
    x_F, c_B = np.log(space.N_F), np.log(space.budget_B)
    found_B = log_N_B.copy()
    seen = np.flatnonzero(np.any(np.isfinite(loss_FxB), axis=0))
    for b in seen:
        has = np.isfinite(loss_FxB[:, b])
        best = x_F[int(np.nanargmin(np.where(has, loss_FxB[:, b], np.nan)))]
        value = log_N_B[b] if np.isfinite(log_N_B[b]) else best
        # An early fit's optimum may lie anywhere; what the runs show so far bounds it.
        found_B[b] = np.clip(
            value, x_F[has].min() - np.log(WINDOW_FACTOR), x_F[has].max() + np.log(WINDOW_FACTOR)
        )
    if not len(seen):
        return np.where(np.isfinite(found_B), found_B, x_F.mean())
    for b in np.setdiff1d(np.arange(len(c_B)), seen):
        # N_opt ~ C^a from the nearest budget with runs; `between` bounds the exponent a.
        near = seen[int(np.argmin(np.abs(c_B[seen] - c_B[b])))]
        low, high = sorted(found_B[near] + slope * (c_B[b] - c_B[near]) for slope in between)
        middle = 0.5 * (low + high)
        found_B[b] = np.clip(log_N_B[b] if np.isfinite(log_N_B[b]) else middle, low, high)
    return found_B


def edges(
    space: Space, loss_FxB: np.ndarray, log_N_B: np.ndarray, possible_FxB: np.ndarray
) -> dict[int, list[int]]:
    """By budget, the families to add where the sizes tried don't have the minimum inside.

    `loss_FxB`: mean losses, NaN where no run has one. Of three sizes or more the least loss lies inside; of
    fewer the optimum that the law has, log_N_B.
    """
    order = np.argsort(space.N_F, kind="stable")
    found: dict[int, list[int]] = {}
    for b in range(len(space.budget_B)):
        has = np.isfinite(loss_FxB[:, b])
        if not has.any():
            continue
        sizes = np.unique(space.N_F[has])
        best = space.N_F[int(np.nanargmin(np.where(has, loss_FxB[:, b], np.nan)))]
        # Of two sizes one always has the least loss and is an end: they say nothing of which side to add to.
        at = best if len(sizes) > 2 else float(np.exp(log_N_B[b]))
        open_F = [int(f) for f in order if possible_FxB[f, b] and not has[f]]
        below = [f for f in reversed(open_F) if space.N_F[f] < sizes[0]] if at <= sizes[0] else []
        above = [f for f in open_F if space.N_F[f] > sizes[-1]] if at >= sizes[-1] else []
        below, above = (_past(space.N_F[f], f, float(np.exp(log_N_B[b]))) for f in (below, above))
        if below or above:
            found[b] = below + above
    return found


def _past(N_K: np.ndarray, families: list[int], optimum: float) -> list[int]:
    """The families nearest first, up to the first that lies past the optimum; one at least, three at most."""
    if not families:
        return []
    # Those short of the optimum, and one more, which brackets it.
    outward = np.sign(N_K[-1] - N_K[0]) if len(N_K) > 1 else 0.0
    short = int(np.sum((N_K - optimum) * outward < 0))
    return families[: int(np.clip(short + 1, 1, 3))]


def thin(
    space: Space, loss_FxB: np.ndarray, log_N_B: np.ndarray, possible_FxB: np.ndarray
) -> dict[int, list[int]]:
    """By tested budget, the families nearest to its optimum that it lacks for `SIZES_OF_TESTED_BUDGET`
    sizes."""
    found: dict[int, list[int]] = {}
    for b in budgets_to_test(len(space.budget_B)):
        has = np.isfinite(loss_FxB[:, b])
        lacking = min(SIZES_OF_TESTED_BUDGET, int(possible_FxB[:, b].sum())) - len(np.unique(space.N_F[has]))
        away_F = np.abs(np.log(space.N_F) - log_N_B[b])
        open_F = [int(f) for f in np.argsort(away_F, kind="stable") if possible_FxB[f, b] and not has[f]]
        if lacking > 0 and open_F:
            found[b] = open_F[:lacking]
    return found


def fill(
    space: Space, trunks: Sequence[Trunk], lacking: Mapping[int, Sequence[int]], flops: float
) -> list[Pick]:
    """Picks for the families that budgets lack, each on its family's first open trunk, as far as `flops`
    go."""
    trunks, picks, spent, B = list(trunks), [], 0.0, len(space.budget_B)
    for b in sorted(lacking):
        for f in lacking[b]:
            own = [k for k, t in enumerate(trunks) if t.family == f and t.open and b not in t.tried]
            had = trunks[own[0]].tried if own else ()
            before, after = (
                float(space.flops(np.array([f]), marks(at, B)[None])[0]) for at in (had, (*had, b))
            )
            if spent + after - before <= flops:
                pick = Pick(f, own[0] if own else None, (b,), after - before)
                pick.train(trunks)
                picks.append(pick)
                spent += pick.flops
    return picks
