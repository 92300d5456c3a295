"""Approach 3: a parametric law fitted to every run. Hoffmann et al. (2022), section 3.3 and appendix D.3."""

from __future__ import annotations

import numpy as np

from analysis.compute import PerToken, per_token
from analysis.errors import UserError
from analysis.fitting.certificate import certify, residuals
from analysis.fitting.identify import identify
from analysis.fitting.outcome import Outcome
from analysis.fitting.resampling import resample
from analysis.fitting.solver import LEAST_SQUARES, Design, Solutions, solve
from analysis.fitting.starts import box_starts
from analysis.laws import Law, find_law
from analysis.options import FitOptions
from analysis.precision import evaluate
from analysis.result import Objective, optimal_size
from analysis.runs import RunTable


def approach3(table: RunTable, options: FitOptions) -> Outcome:
    """Fit the law, certify the optimum, judge each parameter, resample.

    Raises `UserError` for an unknown law and for fewer runs than the law has parameters.
    """
    law = find_law(options.law)
    if len(table) < len(law.parameters):
        raise UserError(
            f"{table.source} leaves {len(table)} usable runs for the {len(law.parameters)} parameters of "
            f"{law.name}: add runs, at least {len(law.parameters) + 1} and better 20"
        )
    design = design_of(table, law, options)
    solutions = search(design, table.loss_R, options.starts)
    best = int(np.nanargmin(solutions.objective_S))
    params_P = solutions.params_SxP[best]
    certificate = certify(design, table.loss_R, solutions)
    identified, warnings = identify(design, table.loss_R, solutions)
    if certificate.status != "certified":
        warnings = (f"the optimum is not certified: {certificate.why}", *warnings)
    cost, C_K = per_token(table), ends(table)
    draws = exponent_draws = None
    resampling = ""
    if options.bootstrap:
        draws, resampling = _bootstrap(design, table, solutions.theta_SxP[best], params_P, options)
        exponent_draws = exponents(law, draws, C_K, cost)
    a, b = exponents(law, params_P[None], C_K, cost)[0]
    return Outcome(
        law=options.law,
        params=dict(zip(law.parameters, map(float, params_P), strict=True)),
        exponents={"a": float(a), "b": float(b)},
        cost=cost,
        objective=_objective(options, float(solutions.objective_S[best])),
        certificate=certificate,
        identified=identified,
        draws_BxP=draws,
        exponent_draws_Bx2=exponent_draws,
        resampling=resampling,
        noise=_noise(law, params_P, table),
        warnings=warnings,
        notes={
            "exponents": "closed form"
            if cost.six_n and law.exponents
            else "slopes of the allocation over the table"
        },
    )


def design_of(table: RunTable, law: Law, options: FitOptions) -> Design:
    """The shared part of every problem on this table."""
    delta = options.delta if options.loss == "huber" else LEAST_SQUARES
    return Design(law, table.N_R, table.D_R, options.space, delta)


def search(design: Design, loss_R: np.ndarray, starts: int) -> Solutions:
    """Solve from every start of the law's box."""
    theta_SxP = box_starts(design, loss_R, starts)
    solutions = solve(design, theta_SxP, loss_R[None], np.ones((1, len(loss_R))))
    if not np.isfinite(solutions.objective_S).any():
        raise UserError(
            f"{design.law.name} cannot be evaluated on these runs from any start: check N, D and loss"
        )
    return solutions


def ends(table: RunTable) -> np.ndarray:
    """The lowest and highest training budget of the table, FLOPs: where slopes of an allocation are taken."""
    low, high = float(table.C_R.min()), float(table.C_R.max())
    return np.array([low, high]) if high > 1.01 * low else np.array([low / 2, low * 2])


def exponents(law: Law, params_BxP: np.ndarray, C_K: np.ndarray, cost: PerToken) -> np.ndarray:
    """(a, b) a row: the law's closed form under C = 6ND, else slopes of log N_opt and log D_opt over C_K."""
    with np.errstate(all="ignore"):
        if cost.six_n and law.exponents is not None:
            return np.stack([np.asarray(x, dtype=float) for x in law.exponents(params_BxP.T)], axis=1)
        N_BxK = optimal_size(law.name, params_BxP, C_K, cost)
        D_BxK = C_K / cost(N_BxK)
        rise = np.log(C_K[-1] / C_K[0])
        return np.stack([np.log(x[:, -1] / x[:, 0]) / rise for x in (N_BxK, D_BxK)], axis=1)


def _bootstrap(
    design: Design, table: RunTable, theta_P: np.ndarray, params_P: np.ndarray, options: FitOptions
) -> tuple[np.ndarray, str]:
    rng = np.random.default_rng(options.seed)
    predicted_R = evaluate(design.law, params_P, table.N_R, table.D_R)
    resamples = resample(table, predicted_R, len(params_P), options.bootstrap, rng)
    theta_BxP = np.repeat(theta_P[None], options.bootstrap, axis=0)
    return solve(design, theta_BxP, resamples.loss_BxR, resamples.weight_BxR).params_SxP, resamples.how


def _objective(options: FitOptions, value: float) -> Objective:
    if options.loss == "huber":
        return Objective("huber", options.space, options.delta, "sum", value)
    return Objective("mse", options.space, None, "sum", 2.0 * value)


def _noise(law: Law, params_P: np.ndarray, table: RunTable) -> float:
    design = Design(law, table.N_R, table.D_R, "log", LEAST_SQUARES)
    residual_R = residuals(design, params_P, table.loss_R)
    return float(np.sqrt((residual_R**2).sum() / max(len(residual_R) - len(params_P), 1)))
