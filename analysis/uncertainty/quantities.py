"""What is derived from a law's parameters, and the profile of each."""

from __future__ import annotations

import numpy as np

from isoflop.analysis.approaches.approach_result import ApproachResult
from isoflop.analysis.compute import PerToken
from isoflop.analysis.laws import Law
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.options import FitOptions
from isoflop.analysis.result import LawFit, Profiles, optimal_size
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.solver.linearize import middle_of_runs
from isoflop.analysis.solver.solver import FitProblem, Solutions, solve
from isoflop.analysis.uncertainty.profiles import Quantity, constrained_rises, profiles
from isoflop.analysis.uncertainty.resampling import Resamples, resample

SIMULATIONS = 300
"""Simulated tables that a profile's thresholds are calibrated on."""


def budget_range(table: RunTable) -> np.ndarray:
    """The lowest and highest training budget of the table, FLOPs: where slopes of an allocation are taken."""
    # A table of one budget has no slope: one is taken from half of it to twice.
    low, high = float(table.C_R.min()), float(table.C_R.max())
    return np.array([low, high]) if high > 1.01 * low else np.array([low / 2, low * 2])


def exponents(law: Law, params_BxP: np.ndarray, C_K: np.ndarray, cost: PerToken) -> np.ndarray:
    """Exponents (a, b), a row for each of B parameter vectors: the law's closed form under C = 6ND, else
    slopes of log N_opt and log D_opt over C_K."""
    with np.errstate(all="ignore"):
        if cost.six_n and law.exponents is not None:
            return np.stack([np.asarray(x, dtype=float) for x in law.exponents(params_BxP.T)], axis=1)
        N_BxK = optimal_size(law, params_BxP, C_K, cost)
        D_BxK = C_K / cost(N_BxK)
        rise = np.log(C_K[-1] / C_K[0])
        return np.stack([np.log(x[:, -1] / x[:, 0]) / rise for x in (N_BxK, D_BxK)], axis=1)


def optimum(law: Law, params_BxP: np.ndarray, C: float, cost: PerToken) -> tuple[np.ndarray, np.ndarray]:
    """N_opt (parameters) and the loss there (nats per token) at one budget, each of shape B."""
    N_B = optimal_size(law, params_BxP, np.array([C]), cost)[:, 0]
    D_B = C / cost(N_B)
    inputs = (N_B, D_B, *law.fill(N_B, D_B, np.full(len(N_B), C)))
    rows = zip(params_BxP, *inputs, strict=True)
    return N_B, np.array([float(evaluate(law, p, *x)) for p, *x in rows])


def quantities_of(
    law: Law, C_K: np.ndarray, cost: PerToken, allocates: bool, at: float
) -> tuple[Quantity, ...]:
    """Every parameter; where there is an interior optimum the exponents, and the optimum `at` a budget."""
    # An amplitude's profile is far more nearly a parabola in its log; E may be zero, and has none.
    amplitudes = set(law.linear)
    found = [
        Quantity(name, lambda params, p=p: params[:, p], p in amplitudes and name.partition("[")[0] != "E")
        for p, name in enumerate(law.parameters)
    ]
    if allocates:
        for k, name in enumerate(("a", "b")):
            found.append(Quantity(name, lambda params, k=k: exponents(law, params, C_K, cost)[:, k]))
        found.append(Quantity("n_opt", lambda params: optimum(law, params, at, cost)[0], positive=True))
        found.append(Quantity("loss_opt", lambda params: optimum(law, params, at, cost)[1]))
    return tuple(found)


def simulated_fits(
    problem: FitProblem, table: RunTable, truth: Solutions, seed: list[int], count: int
) -> tuple[Resamples, Solutions]:
    """`count` tables drawn from the best solution with the noise of its residuals, and the fit of each."""
    params_P, theta_P = truth.params_SxP[truth.best], truth.theta_SxP[truth.best]
    predicted_R = middle_of_runs(problem, params_P, table.loss_R)
    rng = np.random.default_rng(seed)
    drawn = resample(table, predicted_R, len(params_P), count, rng, "residuals")
    theta_SxP = np.repeat(theta_P[None], count, axis=0)
    return drawn, solve(problem, theta_SxP, drawn.loss_BxR, drawn.weight_BxR, warm=True)


def profile_intervals(
    problem: FitProblem,
    table: RunTable,
    solutions: Solutions,
    result: ApproachResult | LawFit,
    options: FitOptions,
    only: tuple[str, ...] = (),
) -> Profiles:
    """The profile of every quantity (or of those named in `only`), with thresholds calibrated by simulation.

    A Huber objective is no likelihood, and neither is any objective of runs that share trunks: the rise that
    the truth exceeds with probability 1 - level is read off tables simulated from the fit, with its residuals
    (and their trunk effect) as the noise.
    """
    C_K = budget_range(table)
    at = options.profile_at or float(C_K[-1])
    a = result.exponents["a"]
    allocates = a is not None and np.isfinite(a) and not problem.law.grouped
    wanted = quantities_of(problem.law, C_K, result.cost, bool(allocates), at)
    wanted = tuple(quantity for quantity in wanted if quantity.name in only) or wanted
    simulated, free = simulated_fits(problem, table, solutions, [options.seed, 2], SIMULATIONS)
    # The deviance at the truth, over tables of which the truth is known: its quantile takes the place of half
    # a chi-square quantile, which holds only for a likelihood (Wilks 1938).
    rises_BxQ = constrained_rises(problem, simulated.loss_BxR, simulated.weight_BxR, solutions, free, wanted)
    thresholds_Q = np.maximum(np.nanquantile(rises_BxQ, options.level, axis=0), 1e-300)
    found = profiles(problem, table.loss_R, solutions, wanted, thresholds_Q)
    return Profiles(
        level=options.level,
        flops=at,
        simulations=SIMULATIONS,
        noise=simulated.description,
        quantities=found,
    )
