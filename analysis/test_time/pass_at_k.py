"""The unbiased estimate of pass@k: the chance that at least one of k samples of a problem is right.

Chen et al. (2021), Evaluating Large Language Models Trained on Code, equation 1: of n samples, c right,
pass@k = 1 - C(n - c, k) / C(n, k), the share of the k-subsets of the samples that hold a right one.
"""

from __future__ import annotations

import numpy as np

from isoflop.analysis.test_time.attempts import Attempts
from isoflop.base.errors import UserError


def pass_at_k(n_P: np.ndarray, c_P: np.ndarray, k_K: np.ndarray) -> np.ndarray:
    """pass@k of P problems at K numbers of samples, PxK; k at most the fewest samples of a problem.

    Raises `UserError` for a k below 1 or beyond the samples: what more samples would do needs a model of the
    problems' success rates (`analysis.test_time.coverage`).
    """
    n_P, c_P, k_K = (np.atleast_1d(np.asarray(x)).astype(np.int64) for x in (n_P, c_P, k_K))
    n_P, c_P = np.broadcast_arrays(n_P, c_P)
    if k_K.min() < 1 or k_K.max() > n_P.min():
        wrong = k_K.min() if k_K.min() < 1 else k_K.max()
        raise UserError(
            f"pass@{wrong} of {n_P.min()} samples: k must be from 1 to the number of samples; beyond it the "
            "tail of the problems' success rates has to be extrapolated, as isoflop coverage --k does"
        )
    pairs_UxN, member_P = np.unique(np.stack([n_P, c_P], axis=1), axis=0, return_inverse=True)
    return np.stack([_of_one(int(n), int(c), k_K) for n, c in pairs_UxN])[member_P.ravel()]


def _of_one(n: int, c: int, k_K: np.ndarray) -> np.ndarray:
    """pass@k of n samples, c right, at K numbers of samples."""
    # C(n-c, k)/C(n, k) is the product over j < k of 1 - c/(n - j): the chance that each further draw without
    # replacement is wrong too. Summed as log1p, since the difference of log-gammas loses all digits of a
    # small pass@k (the relative error is 2e-5 at n = 1e5, c = k = 1).
    left_J = n - np.arange(min(int(k_K.max()), n - c))
    log_fail_J = np.concatenate([[0.0], np.cumsum(np.log1p(-c / left_J))])
    # More draws than there are wrong samples: one is right.
    return np.where(k_K > n - c, 1.0, -np.expm1(log_fail_J[np.minimum(k_K, n - c)]))


def standard_error(attempts: Attempts, k_K: np.ndarray) -> np.ndarray:
    """Standard error of mean pass@k over these very problems, were their samples drawn anew, K; NaN at k = n.

    The jackknife over samples, in closed form: pass@k is a U-statistic, and leaving out a right or a wrong
    sample gives one of two values. (Resampling the samples is biased: where all of k samples are needed, a
    problem with one right among n has pass@n = 1, and 1 - 1/e of it after resampling.) At k near n it is
    too wide, as the jackknife is.
    """
    n_P, c_P = attempts.n_P.astype(np.int64), attempts.c_P.astype(np.int64)
    k_K = np.asarray(k_K)
    usable_K = k_K < n_P.min()
    found_K = np.full(len(k_K), np.nan)
    if not usable_K.any():
        return found_K
    whole_PxK = pass_at_k(n_P, c_P, k_K[usable_K])
    less_right_PxK = pass_at_k(n_P - 1, np.maximum(c_P - 1, 0), k_K[usable_K])
    less_wrong_PxK = pass_at_k(n_P - 1, np.minimum(c_P, n_P - 1), k_K[usable_K])
    right_Px1, n_Px1 = c_P[:, None], n_P[:, None]
    squares_PxK = right_Px1 * (less_right_PxK - whole_PxK) ** 2
    squares_PxK += (n_Px1 - right_Px1) * (less_wrong_PxK - whole_PxK) ** 2
    variance_PxK = squares_PxK * (n_Px1 - 1) / n_Px1
    found_K[usable_K] = np.sqrt(variance_PxK.sum(axis=0)) / len(n_P)
    return found_K


def counts_of_samples(most: int, a_decade: int = 6) -> np.ndarray:
    """About evenly spaced k in log k, from 1 to `most`, whole and distinct; both ends among them."""
    points = int(np.ceil(np.log10(max(most, 1)) * a_decade)) + 1
    return np.unique(np.round(np.geomspace(1, most, points)).astype(np.int64))
