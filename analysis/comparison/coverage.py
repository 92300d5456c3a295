"""Do the intervals hold the truth as often as they say? Simulated on the table's own design.

The fit is taken for the truth, tables are drawn from it with the noise that its residuals show (an effect
of each shared trunk included), and each is put through the same fit and intervals.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from isoflop.analysis.approaches.approach3 import bootstrap
from isoflop.analysis.approaches.fit import choose, prepare
from isoflop.analysis.compute import PerToken, per_token
from isoflop.analysis.options import FitOptions
from isoflop.analysis.result import Coverage
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.solver.fitted_law import one_law
from isoflop.analysis.solver.search import ONE_CALL, fit_problem, search
from isoflop.analysis.solver.solver import FitProblem, Solutions
from isoflop.analysis.uncertainty.intervals import span
from isoflop.analysis.uncertainty.profiles import Quantity, constrained_rises
from isoflop.analysis.uncertainty.quantities import budget_range, quantities_of, simulated_fits
from isoflop.base.errors import UserError

RESAMPLES = 200
"""Bootstrap resamples, or simulations of a profile's threshold, in each simulated table."""


def check_coverage(
    table: RunTable,
    options: FitOptions | None = None,
    simulations: int = 200,
    progress: Callable[[float], None] = lambda share: None,
) -> Coverage:
    """How often the intervals that `options` ask for hold the truth, for approach 3.

    `progress` is called with the share done.

    Raises:
        UserError: another approach than 3, or fewer than 20 simulations.
    """
    options = options or FitOptions()
    if options.approach != 3:
        raise UserError("--check-coverage is for approach 3: it needs a surface to simulate from")
    if simulations < 20:
        raise UserError(f"--simulations {simulations}: give at least 20")
    table, _ = choose(prepare(table, options), options)
    law = one_law(table, options, "--check-coverage").law
    problem = fit_problem(table, law, options)
    truth = search(problem, table.loss_R, ONE_CALL)
    drawn, fits = simulated_fits(problem, table, truth, [options.seed, 3], simulations)
    cost, C_K = per_token(table), budget_range(table)
    at = options.profile_at or float(C_K[-1])
    wanted = _quantities(law, C_K, cost, truth.params_SxP[truth.best], at)
    held = _by_profile if options.intervals == "profile" else _by_bootstrap
    held_SxQ = held(problem, table, truth, fits, drawn.loss_BxR, wanted, options, progress)
    share = dict(zip((q.name for q in wanted), np.nanmean(held_SxQ, axis=0).tolist(), strict=True))
    level = options.level
    return Coverage(
        simulations=simulations,
        level=level,
        method=options.intervals,
        resamples=RESAMPLES,
        noise=drawn.description,
        standard_error=float(np.sqrt(level * (1 - level) / simulations)),
        flops=at,
        params={name: share[name] for name in law.parameters},
        exponents={name: share.get(name) for name in ("a", "b")},
        derived={name: share.get(name) for name in ("n_opt", "loss_opt")},
    )


def _quantities(law, C_K, cost: PerToken, params_P: np.ndarray, at: float) -> tuple[Quantity, ...]:
    """Every quantity that is finite at the truth."""
    every = quantities_of(law, C_K, cost, True, at)
    return tuple(q for q in every if np.isfinite(np.asarray(q.values(params_P[None]), dtype=float)[0]))


def _one(fits: Solutions, s: int) -> Solutions:
    """The s-th solution alone."""
    return Solutions(*(getattr(fits, f.name)[s : s + 1] for f in dataclasses.fields(Solutions)))


def _values(wanted: tuple[Quantity, ...], params_BxP: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(q.values(params_BxP), dtype=float) for q in wanted], axis=1)


def _by_bootstrap(problem: FitProblem, table, truth, fits, loss_SxR, wanted, options, progress) -> np.ndarray:
    """Whether each simulated table's percentile intervals hold the truth, SxQ."""
    # An interval without an end is left out (NaN), not counted as one that holds the truth.
    true_Q = _values(wanted, truth.params_SxP[[truth.best]])[0]
    held = np.full((len(loss_SxR), len(wanted)), np.nan)
    for s, loss_R in enumerate(loss_SxR):
        simulated = dataclasses.replace(table, loss_R=loss_R)
        settings = dataclasses.replace(options, seed=options.seed + s)
        drawn, _ = bootstrap(problem, simulated, _one(fits, s), settings, RESAMPLES)
        for q, draws_B in enumerate(_values(wanted, drawn.params_SxP).T):
            low, high = span(draws_B, options.level)
            if low is not None and high is not None:
                held[s, q] = low <= true_Q[q] <= high
        progress((s + 1) / len(loss_SxR))
    return held


def _by_profile(problem: FitProblem, table, truth, fits, loss_SxR, wanted, options, progress) -> np.ndarray:
    """Whether the truth lies under each simulated table's own calibrated threshold, SxQ."""
    ones = np.ones((1, len(table)))
    rises_SxQ = constrained_rises(problem, loss_SxR, ones, truth, fits, wanted)
    held = np.full(rises_SxQ.shape, np.nan)
    for s in range(len(loss_SxR)):
        simulated = dataclasses.replace(table, loss_R=loss_SxR[s])
        mine = _one(fits, s)
        again, free = simulated_fits(problem, simulated, mine, [options.seed, 4, s], RESAMPLES)
        draws_BxQ = constrained_rises(problem, again.loss_BxR, again.weight_BxR, mine, free, wanted)
        held[s] = rises_SxQ[s] <= np.nanquantile(draws_BxQ, options.level, axis=0)
        progress((s + 1) / len(loss_SxR))
    return held
