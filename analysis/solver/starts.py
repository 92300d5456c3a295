"""Starting points of the search."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from isoflop.analysis.laws.evaluate import encoded, evaluate, starting_params
from isoflop.analysis.solver.solver import FitProblem, bounds_of

PULL_TO_EQUAL_SHARES = 0.3
"""Pull of the amplitudes towards equal shares of the loss, relative to one standard row of the table:
keeps every term alive where a start's exponents make two terms collinear."""


def box_starts(problem: FitProblem, loss_R: np.ndarray, count: int) -> np.ndarray:
    """`count` starting points theta, shape SxP: a fixed Latin hypercube over the law's box.

    The box is the law's own (Hoffmann et al. (2022), appendix D.3, for theirs), not placed near an answer.
    In a law with linear amplitudes these are then fixed, given the start's other parameters, by nonnegative
    least squares on the relative loss.
    """
    law = problem.law
    low, high = np.array(law.start_box).T
    # One point a stratum in every coordinate, at its middle. Drawn here in two lines, since the fits' starts,
    # and with them every certificate's count, are to stay what they are in any version of scipy.
    strata_PxS = np.random.default_rng(0).permuted(np.tile(np.arange(count), (len(low), 1)), axis=1)
    share_SxP = (strata_PxS.T + 0.5) / count
    x_SxP = low + share_SxP * (high - low)
    params_SxP = starting_params(law, x_SxP, problem.centre)
    if law.linear:
        params_SxP = _with_fitted_amplitudes(problem, params_SxP, loss_R)
    theta_SxP = encoded(law, params_SxP, problem.centre)
    # Onto the bounds: Newton's active sets hold what is on one, and would never see what began beyond it.
    return np.clip(theta_SxP, *bounds_of(law))


def _with_fitted_amplitudes(problem: FitProblem, params_SxP: np.ndarray, loss_R: np.ndarray) -> np.ndarray:
    """The starts with their amplitudes by nonnegative least squares on the relative loss, SxP."""
    linear = list(problem.law.linear)
    K, R = len(linear), len(loss_R)
    empty_SxP = params_SxP.copy()
    empty_SxP[:, linear] = 0.0
    rest_SxR = evaluate(problem.law, empty_SxP, *problem.inputs)
    # What the loss gains by a unit of one amplitude alone is its column of the linear system.
    columns = []
    for index in linear:
        unit = empty_SxP.copy()
        unit[:, index] = 1.0
        columns.append(evaluate(problem.law, unit, *problem.inputs) - rest_SxR)
    basis_SxRxK = np.stack(columns, axis=-1)
    # A column of a law over groups is zero outside its group: what it is there does not count.
    live_SxRxK = basis_SxRxK > 0
    rows_SxK = np.maximum(live_SxRxK.sum(axis=1), 1)
    # Each column over its own geometric mean, and each row over its loss: relative errors, in amplitudes that
    # are the terms' typical sizes in nats. Columns in their own units differ by the power of N or D that a
    # start's exponent makes of them, and the ridge would hold the one and not touch the other.
    logs_SxRxK = np.where(live_SxRxK, np.log(np.maximum(basis_SxRxK, 1e-300)), 0.0)
    size_SxK = np.exp(logs_SxRxK.sum(axis=1) / rows_SxK)
    rows_SxRxK = basis_SxRxK / size_SxK[:, None] / loss_R[:, None]
    left_SxR = np.maximum(1.0 - rest_SxR / loss_R, 0.0)
    level, pull_SxK = float(np.median(loss_R)), PULL_TO_EQUAL_SHARES**2 * rows_SxK
    # The ridge pulls towards equal shares of the median loss, of the terms that a run has.
    terms_Sx1 = np.maximum(rows_SxK.sum(axis=1, keepdims=True) / R, 1.0)
    gram_SxKxK = np.einsum("srk,srl->skl", rows_SxRxK, rows_SxRxK)
    gram_SxKxK += (pull_SxK / level**2)[:, :, None] * np.eye(K)
    right_SxK = np.einsum("srk,sr->sk", rows_SxRxK, left_SxR) + pull_SxK / level / terms_Sx1
    share_SxK = _nonnegative(gram_SxKxK, right_SxK)
    found = params_SxP.copy()
    # An amplitude of exactly zero has log -infinity and no gradient: a hundredth of the loss at least.
    found[:, linear] = np.maximum(share_SxK, 1e-2 * level) / size_SxK
    return found


def _nonnegative(gram_SxKxK: np.ndarray, right_SxK: np.ndarray) -> np.ndarray:
    """Nonnegative least squares from S normal equations; zeros where a start's are not finite."""
    found_SxK = np.zeros_like(right_SxK)
    finite = np.isfinite(gram_SxKxK).all(axis=(1, 2)) & np.isfinite(right_SxK).all(axis=1)
    # gram = L L', so that min |L' x - L^-1 right| has these normal equations.
    for s in np.flatnonzero(finite):
        root_KxK = np.linalg.cholesky(gram_SxKxK[s])
        found_SxK[s] = nnls(root_KxK.T, np.linalg.solve(root_KxK, right_SxK[s]))[0]
    return found_SxK
