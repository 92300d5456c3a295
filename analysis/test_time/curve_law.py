"""The law of repeated sampling (`brown`) fitted to curves of coverage against k, one or many resampled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.analysis.laws import find_law
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.result import Certificate
from isoflop.analysis.solver.certificate import certify
from isoflop.analysis.solver.search import ONE_CALL, search
from isoflop.analysis.solver.solver import LEAST_SQUARES, FitProblem, solve

LAW = find_law("brown")


@dataclass(frozen=True)
class CurveLaws:
    """Parameters (A, beta) of B curves. The first is the one that the search began with, and certified."""

    params_Bx2: np.ndarray
    certificate: Certificate

    @property
    def exponent_B(self) -> np.ndarray:
        """beta of each curve."""
        return self.params_Bx2[:, 1]

    def coverage(self, k: np.ndarray) -> np.ndarray:
        """Coverage at K numbers of samples, BxK."""
        k_K = np.asarray(k, dtype=float)
        return evaluate(LAW, self.params_Bx2, np.ones_like(k_K), np.ones_like(k_K), k_K)


def fit_curves(k_K: np.ndarray, coverage_BxK: np.ndarray) -> CurveLaws:
    """The law of each curve, by least squares on the log of the coverage; NaN for one that is 0 somewhere."""
    one_K = np.ones(len(k_K))
    problem = FitProblem(LAW, one_K, one_K, "log", LEAST_SQUARES, (np.asarray(k_K, dtype=float),))
    first = search(problem, coverage_BxK[0], ONE_CALL)
    certificate = certify(problem, coverage_BxK[0], first)
    params_Bx2 = np.full((len(coverage_BxK), 2), np.nan)
    params_Bx2[0] = first.params_SxP[first.best]
    # The others begin where the first ended: a resampled curve's law lies nearby.
    some_B = np.all(coverage_BxK > 0, axis=1)
    some_B[0] = False
    if some_B.any():
        curves = coverage_BxK[some_B]
        theta = np.repeat(first.theta_SxP[first.best][None], len(curves), axis=0)
        params_Bx2[some_B] = solve(problem, theta, curves, np.ones((1, len(k_K))), warm=True).params_SxP
    return CurveLaws(params_Bx2, certificate)
