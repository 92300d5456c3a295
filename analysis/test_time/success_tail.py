"""The distribution of problems' success rates, and the power law of coverage that its tail makes.

Schaeffer et al. (2025), How Do Large Language Monkeys Get Their Power (Laws)?, arXiv 2502.17578: each problem
fails k times at a rate that falls exponentially in k; a density of success rates p that goes as p^(alpha - 1)
near zero makes of that an average which falls as k^-alpha. The density here is a beta distribution's, fitted
by maximum likelihood of the beta-binomial to counts: no rate of zero has to be taken for one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, polygamma, psi

from isoflop.analysis.test_time.attempts import Attempts

LOG_RANGE = (float(np.log(1e-3)), float(np.log(1e4)))
"""Bounds of log alpha and log beta. At the upper one counts tell no difference between problems."""
MOST_STEPS, MOST_HALVINGS = 60, 8
SMALL_GRADIENT = 1e-8
"""Gradient a problem, in log alpha and log beta, that counts as none."""
ROUNDING = 1e-14
"""Fall of the mean log likelihood, for each sample of a problem, that is rounding in log-beta functions."""
LONGEST_STEP = 2.0
"""In log alpha and log beta: the likelihood is far from quadratic beyond."""


@dataclass(frozen=True)
class SuccessTail:
    """Beta distributions of success rates, B of them: fitted to a table, or to each of its resamples."""

    alpha_B: np.ndarray
    beta_B: np.ndarray
    gradient_B: np.ndarray
    """Length of the log likelihood's gradient a problem, over coordinates not held at a bound."""
    log_likelihood_B: np.ndarray

    @property
    def certified(self) -> bool:
        """Whether every one is an optimum within the bounds."""
        inside = [
            np.all((np.log(x) > LOG_RANGE[0]) & (np.log(x) < LOG_RANGE[1]))
            for x in (self.alpha_B, self.beta_B)
        ]
        return bool(np.all(self.gradient_B <= SMALL_GRADIENT) and all(inside))

    def coverage(self, k: np.ndarray) -> np.ndarray:
        """Expected share of problems with a right one among k samples, BxK; k need not be whole."""
        # E (1 - p)^k = B(alpha, beta + k)/B(alpha, beta).
        alpha_Bx1, beta_Bx1 = self.alpha_B[:, None], self.beta_B[:, None]
        k_K = np.asarray(k, dtype=float)
        return -np.expm1(betaln(alpha_Bx1, beta_Bx1 + k_K) - betaln(alpha_Bx1, beta_Bx1))


def fit_success_tail(attempts: Attempts, weight_BxP: np.ndarray | None = None) -> SuccessTail:
    """The beta distribution of the problems' success rates, by maximum likelihood.

    `weight_BxP`: how often each problem counts in each of B resamples; by default once, in a single fit.
    """
    pairs_PxN = np.stack([attempts.n_P, attempts.c_P], axis=1).astype(float)
    pairs_UxN, member_P = np.unique(pairs_PxN, axis=0, return_inverse=True)
    weight_BxP = np.ones((1, len(attempts))) if weight_BxP is None else weight_BxP
    # Problems with equal counts are one term of the likelihood.
    belongs_PxU = (member_P.ravel()[:, None] == np.arange(len(pairs_UxN))).astype(float)
    return fit_tails(pairs_UxN[:, 0], pairs_UxN[:, 1], weight_BxP @ belongs_PxU)


def fit_tails(n_U: np.ndarray, c_U: np.ndarray, weight_BxU: np.ndarray) -> SuccessTail:
    """B beta-binomial fits to U kinds of counts, c right of n, that count `weight_BxU` times in each."""
    x_Bx2 = _first_guess(n_U, c_U, weight_BxU)
    # What is known where each fit stands: value_B, gradient_Bx2, hessian_Bx2x2.
    known = _derivatives(x_Bx2, n_U, c_U, weight_BxU)
    for _ in range(MOST_STEPS):
        free_Bx2 = ~_held(x_Bx2, known[1])
        going = np.flatnonzero(np.linalg.norm(known[1] * free_Bx2, axis=1) > 0.01 * SMALL_GRADIENT)
        step_Rx2 = _ascent(known[1][going], known[2][going], free_Bx2[going])
        for _ in range(MOST_HALVINGS):
            if not len(going):
                break
            tried_Rx2 = np.clip(x_Bx2[going] + step_Rx2, *LOG_RANGE)
            there = _derivatives(tried_Rx2, n_U, c_U, weight_BxU[going])
            better_R = there[0] >= known[0][going] - ROUNDING * n_U.max()
            x_Bx2[going[better_R]] = tried_Rx2[better_R]
            for old, new in zip(known, there, strict=True):
                old[going[better_R]] = new[better_R]
            going, step_Rx2 = going[~better_R], step_Rx2[~better_R] / 2.0
    left_Bx2 = known[1] * ~_held(x_Bx2, known[1])
    alpha_B, beta_B = np.exp(x_Bx2).T
    total_B = weight_BxU.sum(axis=1)
    return SuccessTail(alpha_B, beta_B, np.linalg.norm(left_Bx2, axis=1), known[0] * total_B)


def _first_guess(n_U: np.ndarray, c_U: np.ndarray, weight_BxU: np.ndarray) -> np.ndarray:
    """log alpha and log beta of the mean rate, at a spread that any table could have; Bx2."""
    total_B = weight_BxU.sum(axis=1)
    # Half a right and half a wrong sample more: the mean is then neither 0 nor 1.
    mean_B = (weight_BxU @ ((c_U + 0.5) / (n_U + 1.0))) / total_B
    return np.log(np.stack([mean_B, 1.0 - mean_B], axis=1)).clip(*LOG_RANGE)


def _derivatives(
    x_Bx2: np.ndarray, n_U: np.ndarray, c_U: np.ndarray, weight_BxU: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean log likelihood a problem, its gradient and Hessian in log alpha and log beta."""
    share_BxU = weight_BxU / weight_BxU.sum(axis=1, keepdims=True)
    alpha, beta = (np.exp(x_Bx2[:, j])[:, None] for j in (0, 1))
    wrong_U, sum_ = n_U - c_U, alpha + beta

    def mean(values_BxU: np.ndarray) -> np.ndarray:
        return (share_BxU * values_BxU).sum(axis=1)

    value_B = mean(betaln(alpha + c_U, beta + wrong_U) - betaln(alpha, beta))
    common = psi(sum_) - psi(sum_ + n_U)
    by_alpha = mean(psi(alpha + c_U) - psi(alpha) + common)
    by_beta = mean(psi(beta + wrong_U) - psi(beta) + common)
    bend = _trigamma(sum_) - _trigamma(sum_ + n_U)
    both = mean(bend)
    twice_alpha = mean(_trigamma(alpha + c_U) - _trigamma(alpha) + bend)
    twice_beta = mean(_trigamma(beta + wrong_U) - _trigamma(beta) + bend)
    # From alpha to log alpha: d/dx = alpha d/dalpha, and the second derivative gains the first.
    a, b = alpha[:, 0], beta[:, 0]
    gradient_Bx2 = np.stack([a * by_alpha, b * by_beta], axis=1)
    mixed = a * b * both
    hessian = [[a * a * twice_alpha + a * by_alpha, mixed], [mixed, b * b * twice_beta + b * by_beta]]
    return value_B, gradient_Bx2, np.moveaxis(np.array(hessian), 2, 0)


def _trigamma(x: np.ndarray) -> np.ndarray:
    return polygamma(1, x)


def _held(x_Bx2: np.ndarray, gradient_Bx2: np.ndarray) -> np.ndarray:
    """Which coordinates stand at a bound that the likelihood pushes them to."""
    low, high = LOG_RANGE
    return ((x_Bx2 <= low) & (gradient_Bx2 < 0)) | ((x_Bx2 >= high) & (gradient_Bx2 > 0))


def _ascent(gradient_Bx2: np.ndarray, hessian_Bx2x2: np.ndarray, free_Bx2: np.ndarray) -> np.ndarray:
    """Newton's step to a maximum, the Hessian's eigenvalues made negative; none along held coordinates."""
    masked = hessian_Bx2x2 * free_Bx2[:, :, None] * free_Bx2[:, None, :]
    masked = masked - np.eye(2) * (~free_Bx2)[:, None, :]
    values_Bx2, vectors_Bx2x2 = np.linalg.eigh(masked)
    # A floor relative to the gradient: where the likelihood is flat the step stays within its limit.
    floor_Bx1 = np.linalg.norm(gradient_Bx2, axis=1, keepdims=True) / LONGEST_STEP + 1e-12
    sizes_Bx2 = np.maximum(np.abs(values_Bx2), floor_Bx1)
    along_Bx2 = np.einsum("bij,bi->bj", vectors_Bx2x2, gradient_Bx2 * free_Bx2)
    return np.einsum("bij,bj->bi", vectors_Bx2x2, along_Bx2 / sizes_Bx2)
