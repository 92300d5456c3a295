"""Does the law follow the runs? A lack-of-fit test of a fitted law, on the log loss.

The alternative is the law with a quadratic surface in the logs of its inputs added: a law of another bend
leaves such a surface in the residuals. The test is an F test (Seber and Lee 2003, Linear Regression Analysis,
chapter 4) of that surface, with the law linearized at the fitted parameters, and made to hold where residuals
are not alike:

- A run far off even the law with its surface is an outlier: it is set aside and counted.
- The noise may grow or fall as a power of compute, and runs of a trunk share noise. Neither the power nor the
  trunk's share of the variance is known: the p-value is its mean over their posterior.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import fdtrc

from isoflop.analysis.result import Misfit
from isoflop.analysis.solver.linearize import linearized
from isoflop.analysis.solver.solver import LEAST_SQUARES, FitProblem
from isoflop.analysis.uncertainty.trunk_noise import posterior

MOST_RUNS = 4_000
"""Runs that are looked at, evenly over the table: more would notice misfits too small to matter."""
OUTLIER_DISTANCE = 4.0
"""Robust standard deviations from the law with its surface beyond which a run is an outlier."""
CHANGES = np.linspace(-2.0, 2.0, 9)
"""Change of the log of the noise's standard deviation over the table's compute that is allowed for."""
CHANGE_SD = 0.8
"""Standard deviation of that change before the runs are looked at: a factor of 2.2 either way."""
ABSOLUTE_FIT_STEPS = 30
"""Steps of the fit of least absolute deviations: outliers are plain long before they settle."""
LEAST_NEW_SHARE = 1e-3
"""Share of a term of the surface that the law itself must leave open for it to count."""
UNUSED_SHARE = 0.5
"""Share of an input's logarithm that a law leaves open if it does not depend on that input."""
NO_LENGTH = 1e-7
"""Relative length below which a column, or an input's spread, is nothing but rounding."""
NO_NOISE = 1e-12
"""Residuals of the log loss below which there is no noise to judge by."""
METHOD = "F test of a quadratic surface beside the law"


def misfit_at(
    problem: FitProblem, theta_P: np.ndarray, loss_R: np.ndarray, trunk_R: np.ndarray | None
) -> Misfit | None:
    """The test of a fit; None too for an envelope's law, as its runs are chosen by their noise, and where a
    fit in raw space predicts a run to be negative, which has no logarithm."""
    if problem.law.envelope:
        return None
    # On the log loss whatever the fit minimized: the test's model of the noise is one of relative errors.
    log_problem = dataclasses.replace(problem, space="log", delta=LEAST_SQUARES, scale=1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        J_RxP, residual_R, _ = linearized(log_problem, theta_P, loss_R)
    if not np.isfinite(residual_R).all():
        return None
    return misfit(J_RxP, residual_R, _surface_inputs(problem), trunk_R)


def _surface_inputs(problem: FitProblem) -> tuple[np.ndarray, ...]:
    """What the surface takes logarithms of: the inputs, and for a group's number indicators of all but 1."""
    of_size = (problem.N_R, problem.D_R)
    found = [x if problem.law.sized else np.ones_like(x) for x in of_size]
    for covariate, values_R in zip(problem.law.covariates, problem.extra, strict=True):
        numbers = range(2, len(covariate.groups) + 1)
        # Products of indicators with log N and log D are exponents that differ between groups.
        # Of a covariate without a logarithm its deviations are taken.
        plain_R = np.exp(_relative(values_R)) if covariate.signed else values_R
        found += [np.exp(values_R == g) for g in numbers] if covariate.groups else [plain_R]
    return tuple(found)


def misfit(
    J_RxP: np.ndarray, residual_R: np.ndarray, inputs: tuple[np.ndarray, ...], trunk_R: np.ndarray | None
) -> Misfit | None:
    """The test at a fit's parameters; None where no run, or no bend, is left to judge by.

    `J_RxP`: derivative of the predicted log loss in the parameters that are free. `residual_R`: log loss less
    predicted. `inputs`: N, D and covariates of each run. `trunk_R`: the number of each run's trunk; None
    where all stand alone.
    """
    R = len(residual_R)
    rows = np.unique(np.linspace(0, R - 1, min(MOST_RUNS, R)).round().astype(int))
    J_RxP, residual_R, inputs = J_RxP[rows], residual_R[rows], tuple(x[rows] for x in inputs)
    member_R = np.arange(len(rows)) if trunk_R is None else trunk_R[rows]
    both_RxV, P = _bases(J_RxP, inputs)
    Q = both_RxV.shape[1] - P
    if Q == 0 or len(rows) - P - Q < 1 or np.abs(residual_R).max() < NO_NOISE:
        return None
    size_R = _relative(np.log(inputs[0] * inputs[1]))
    keep_R = _usual(both_RxV, residual_R, size_R, member_R)
    freedom = int(keep_R.sum()) - P - Q
    if freedom < 1:
        return None
    member_R = np.unique(member_R[keep_R], return_inverse=True)[1].reshape(-1)
    F, p_value = _averaged(both_RxV[keep_R], residual_R[keep_R], size_R[keep_R], member_R, P)
    return Misfit(
        p_value=p_value,
        statistic=F,
        degrees_of_freedom=(Q, freedom),
        outliers=int((~keep_R).sum()),
        method=METHOD if member_R.max() + 1 == len(member_R) else f"{METHOD}, with trunk effects",
    )


def _averaged(
    both_RxV: np.ndarray, residual_R: np.ndarray, size_R: np.ndarray, member_R: np.ndarray, P: int
) -> tuple[float, float]:
    """F and its p-value, means over the posterior of the noise's power of compute and the trunks' share.

    The first `P` columns are the law's, the others the surface's; `size_R`: of each run, from 0 to 1.
    """
    (R, V), results = both_RxV.shape, []
    # For each power of the noise rows are divided by its standard deviation, and the law alone (P columns) is
    # set against the law with the surface (V columns); under each trunk's share F is the drop of the sum of
    # squares a column over the mean square that is left. Weighted by the evidence of each power of the noise,
    # times its prior.
    for change in CHANGES if np.ptp(size_R) else [0.0]:
        scale_R = np.exp(change * (size_R - size_R.mean()))
        x_RxV, y_R = both_RxV / scale_R[:, None], residual_R / scale_R
        without, found = posterior(x_RxV[:, :P], y_R, member_R), posterior(x_RxV, y_R, member_R)
        before_K, after_K = (p.variance_K * p.freedom for p in (without, found))
        F_K = np.maximum(before_K - after_K, 0.0) / (V - P) / (after_K / (R - V))
        results.append((found.log_evidence - 0.5 * (change / CHANGE_SD) ** 2, found.weight_K, F_K))
    log_evidence = np.array([evidence for evidence, _, _ in results])
    share = np.exp(log_evidence - log_evidence.max())
    weight = np.concatenate([s * w for s, (_, w, _) in zip(share / share.sum(), results, strict=True)])
    F = np.concatenate([f for _, _, f in results])
    return float(weight @ F), float(np.clip(weight @ fdtrc(V - P, R - V, F), 0.0, 1.0))


def usual_runs(
    J_RxP: np.ndarray, residual_R: np.ndarray, inputs: tuple[np.ndarray, ...], member_R: np.ndarray
) -> np.ndarray:
    """Which runs the test does not set aside as outliers; arguments as `misfit` has them, a trunk each."""
    return _usual(_bases(J_RxP, inputs)[0], residual_R, _relative(np.log(inputs[0] * inputs[1])), member_R)


def _bases(J_RxP: np.ndarray, inputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, int]:
    """Orthonormal columns: of what the law can follow to first order, whose number is given too, and of the
    surface's rest.
    """
    # Q terms: squares and products of the logs; a log alone only where the law is blind to it.
    logs = [x - x.mean() for x in map(np.log, inputs)]
    logs = [x / np.linalg.norm(x) for x in logs if x.std() > NO_LENGTH]
    # The law's columns at unit length first: their lengths are units. The surface's terms are made orthogonal
    # to them, so that F judges only what the law cannot follow.
    length_P = np.linalg.norm(J_RxP, axis=0)
    law_RxP = _orthonormal(J_RxP[:, length_P > 0] / length_P[length_P > 0], NO_LENGTH)
    terms = [x for x in logs if np.linalg.norm(x - law_RxP @ (law_RxP.T @ x)) > UNUSED_SHARE]
    terms += [x * y for x, y in itertools.combinations_with_replacement(logs, 2)]
    if not terms:
        return law_RxP, law_RxP.shape[1]
    bend_RxQ = np.stack([x / np.linalg.norm(x) for x in terms], axis=1)
    rest_RxQ = _orthonormal(bend_RxQ - law_RxP @ (law_RxP.T @ bend_RxQ), LEAST_NEW_SHARE)
    return np.concatenate([law_RxP, rest_RxQ], axis=1), law_RxP.shape[1]


def _orthonormal(x_RxQ: np.ndarray, least: float) -> np.ndarray:
    """A basis of the columns' span, without directions shorter than `least`."""
    columns, values, _ = np.linalg.svd(x_RxQ, full_matrices=False)
    return columns[:, values > least]


def _relative(x_R: np.ndarray) -> np.ndarray:
    """Values from 0, the least, to 1, the greatest; all 0 where they are alike."""
    return (x_R - x_R.min()) / np.ptp(x_R) if np.ptp(x_R) > NO_LENGTH else np.zeros(len(x_R))


def _usual(x_RxV: np.ndarray, residual_R: np.ndarray, size_R: np.ndarray, member_R: np.ndarray) -> np.ndarray:
    """Which runs are no outliers, by their distance from a fit of least absolute deviations.

    From the runs of a trunk with three or more their median distance is taken off: what a whole trunk has in
    common is no outlier.
    """
    # A first fit with all alike says how the noise changes with compute; a second is weighed by that. Least
    # absolute deviations, since least squares bend towards the outliers that are to be found.
    left_R = _least_absolute(x_RxV, residual_R, np.ones(len(residual_R)))
    change = _change(left_R, size_R)
    scale_R = np.exp(change * (size_R - size_R.mean()))
    left_R = _least_absolute(x_RxV, residual_R, scale_R) / scale_R
    of_trunk = pd.Series(left_R).groupby(member_R)
    several_R = of_trunk.transform("size").to_numpy() >= 3
    left_R = left_R - np.where(several_R, of_trunk.transform("median").to_numpy(), 0.0)
    trunks = len(np.unique(member_R[several_R]))
    fitted = min(x_RxV.shape[1] + trunks, len(left_R) // 2)
    # Least absolute deviations go through as many runs as they have coefficients: those zeros, and the
    # one of each trunk's median, say nothing of the noise, and the median is that of the others.
    spread = 1.4826 * float(np.median(np.sort(np.abs(left_R))[fitted:]))
    return np.abs(left_R) <= OUTLIER_DISTANCE * max(spread, NO_NOISE)


def _change(left_R: np.ndarray, size_R: np.ndarray) -> float:
    """Change of the log of the noise over the table's compute: most probable, for Laplace's distribution."""
    away_R, R = size_R - size_R.mean(), len(left_R)
    if np.abs(left_R).max() < NO_NOISE or np.ptp(size_R) == 0:
        return 0.0

    def unlikely(change: float) -> float:
        # The scale of a Laplace distribution is the mean of the absolute values: profiled out.
        spread = float((np.abs(left_R) * np.exp(-change * away_R)).mean())
        return R * np.log(spread) + 0.5 * (change / CHANGE_SD) ** 2

    found: Any = minimize_scalar(unlikely, bounds=(CHANGES[0], CHANGES[-1]), method="bounded")
    return float(found.x)


def _least_absolute(x_RxV: np.ndarray, y_R: np.ndarray, scale_R: np.ndarray) -> np.ndarray:
    """Residuals of the fit of least absolute deviations over `scale_R`, by reweighted least squares."""
    left_R = y_R
    for _ in range(ABSOLUTE_FIT_STEPS):
        # |r| = r^2 / |r|: squares weighted by one over the last residual, floored where it vanishes.
        size_R = np.abs(left_R) / scale_R
        weight_R = 1.0 / (scale_R**2 * np.maximum(size_R, 1e-3 * max(float(np.median(size_R)), NO_NOISE)))
        gram = (x_RxV * weight_R[:, None]).T @ x_RxV
        left_R = y_R - x_RxV @ np.linalg.lstsq(gram, (x_RxV * weight_R[:, None]).T @ y_R, rcond=1e-12)[0]
    return left_R
