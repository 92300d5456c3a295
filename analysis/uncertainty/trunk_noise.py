"""Noise with two sources: what is a trunk's own, shared by all its cells, and what is a run's own.

Log losses are a linear(ized) model plus an effect of each trunk plus an effect of each run, both normal. The
trunk's share of the variance is not known, and with a dozen trunks it can't be estimated well: an interval
that takes an estimate of it for the truth is too narrow. So it is integrated out, under a uniform prior; with
the usual flat priors on the coefficients and the log variance, all else is in closed form (Gelman et al.
2013, Bayesian Data Analysis, chapters 5 and 15; the likelihood that is left is that of REML, Patterson and
Thompson 1971).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

SHARES = (np.arange(20) + 0.5) / 20
"""Values of the trunk's share of the variance that the integral runs over."""
HALVINGS = 60
"""Bisections of a quantile: from a thousand standard deviations to rounding."""


@dataclass(frozen=True)
class Posterior:
    """K values of the trunk's share, and what the runs say under each: coefficients and variance."""

    share_K: np.ndarray
    weight_K: np.ndarray
    """Probability of each."""
    shift_KxP: np.ndarray
    """Best coefficients, from where the model was linearized."""
    information_KxPxP: np.ndarray
    """Inverse covariance of the coefficients in units of one over the total variance."""
    variance_K: np.ndarray
    """Total variance of a run's log loss: trunk's and own."""
    freedom: int
    """Runs less coefficients."""
    log_evidence: float
    """Log of the likelihood with all of these integrated out, up to a constant of the runs' number."""

    @property
    def share(self) -> float:
        """Expected value of the trunk's share of the variance."""
        return float(self.weight_K @ self.share_K)

    @property
    def trunk_sd(self) -> float:
        """Standard deviation of the trunk's effect on the log loss."""
        return float(np.sqrt(self.weight_K @ (self.share_K * self.variance_K)))

    @property
    def run_sd(self) -> float:
        """Standard deviation of the run's own effect."""
        return float(np.sqrt(self.weight_K @ ((1 - self.share_K) * self.variance_K)))

    @property
    def total_sd(self) -> float:
        """Standard deviation of both together."""
        return float(np.sqrt(self.weight_K @ self.variance_K))

    def spread_K(self, gradient_P: np.ndarray) -> np.ndarray:
        """Scale of the t distribution of a linear function of the coefficients, under each share."""
        inverse = np.linalg.pinv(self.information_KxPxP, rcond=1e-14, hermitian=True)
        return np.sqrt(self.variance_K * np.einsum("p,kpq,q->k", gradient_P, inverse, gradient_P))

    def interval(self, gradient_P: np.ndarray, level: float) -> tuple[float, float]:
        """The central interval of a linear function of the shift."""
        centre_K, spread_K = self.shift_KxP @ gradient_P, self.spread_K(gradient_P)
        low, high = (1 - level) / 2, (1 + level) / 2
        return self._quantile(low, centre_K, spread_K), self._quantile(high, centre_K, spread_K)

    def _quantile(self, q: float, centre_K: np.ndarray, spread_K: np.ndarray) -> float:
        """The mixture's quantile, by bisection of its distribution function."""
        # A weighted mean of t distributions, one a share: increasing, and without a closed inverse.
        reach = 1e3 * float(spread_K.max()) + 1e-300
        low, high = float(centre_K.min()) - reach, float(centre_K.max()) + reach
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            below = self.weight_K @ stdtr(self.freedom, (middle - centre_K) / np.maximum(spread_K, 1e-300))
            low, high = (middle, high) if below < q else (low, middle)
        return 0.5 * (low + high)


def posterior(J_RxP: np.ndarray, residual_R: np.ndarray, trunk_R: np.ndarray) -> Posterior:
    """The posterior of residual_R = J_RxP shift + trunk's effect + run's effect; `trunk_R`: numbers from
    0."""
    R, P = J_RxP.shape
    # With V = (1 - rho) I + rho J within a trunk of n runs, V^-1 = (I - kappa J) / (1 - rho): all is made of
    # cross products over all runs and sums over each trunk, without an RxR matrix.
    size_T = np.bincount(trunk_R)
    sums_TxP = per_trunk(J_RxP, trunk_R)
    rest_T = np.bincount(trunk_R, residual_R)
    rho_K = SHARES
    kappa_KxT = common(rho_K[:, None], size_T)
    own_K = 1.0 - rho_K
    M = (J_RxP.T @ J_RxP - np.einsum("kt,tp,tq->kpq", kappa_KxT, sums_TxP, sums_TxP)) / own_K[:, None, None]
    g_KxP = (J_RxP.T @ residual_R - kappa_KxT @ (sums_TxP * rest_T[:, None])) / own_K[:, None]
    total_K = (residual_R @ residual_R - kappa_KxT @ rest_T**2) / own_K
    # Normal equations under each share; a pseudoinverse, since a direction that no run sees gets no shift.
    shift_KxP = np.einsum("kpq,kq->kp", np.linalg.pinv(M, rcond=1e-14, hermitian=True), g_KxP)
    freedom = max(R - P, 1)
    # Floored: runs without any noise would leave nothing to weigh the shares by.
    rest_K = np.maximum(total_K - np.einsum("kp,kp->k", g_KxP, shift_KxP), 1e-12 * R)
    # The restricted likelihood: log |V|, log |J' V^-1 J|, and the quadratic form to the power of its freedom.
    # |V| of a trunk is (1 - rho)^(n - 1) (1 - rho + rho n).
    log_V_K = np.log(own_K) * (R - len(size_T)) + np.log(own_K[:, None] + rho_K[:, None] * size_T).sum(axis=1)
    log_M_K = np.linalg.slogdet(M)[1]
    log_K = -0.5 * (log_V_K + log_M_K + freedom * np.log(rest_K))
    # Where the law leaves a direction open |J' V^-1 J| is zero under every share alike: left out.
    log_K = np.where(np.isfinite(log_K), log_K, -0.5 * (log_V_K + freedom * np.log(rest_K)))
    weight_K = np.exp(log_K - log_K.max())
    evidence = float(log_K.max() + np.log(weight_K.sum()))
    return Posterior(rho_K, weight_K / weight_K.sum(), shift_KxP, M, rest_K / freedom, freedom, evidence)


def common(share: np.ndarray | float, size: np.ndarray) -> np.ndarray:
    """What of a trunk's summed rows its `size` cells have in common: the covariance's inverse is (1 less this
    times the matrix of ones) / (1 - share) within a trunk."""
    return share / ((1.0 - share) + share * size)


def whitening(share: float, trunk_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `FitProblem.whitening` takes, at a given trunk's share of the variance.

    Within a trunk of n runs the covariance's inverse is (I - kappa J) / (1 - share), J all ones; its root is
    (I - c J) / sqrt(1 - share) with (1 - c n)^2 = 1 - kappa n, since J^2 = n J.
    """
    size_R = np.bincount(trunk_R)[trunk_R]
    return trunk_R, (1.0 - np.sqrt(1.0 - common(share, size_R) * size_R)) / size_R


def per_trunk(x_RxP: np.ndarray, trunk_R: np.ndarray) -> np.ndarray:
    """Sums over the runs of each trunk, TxP."""
    return np.stack([np.bincount(trunk_R, column) for column in x_RxP.T], axis=1)
