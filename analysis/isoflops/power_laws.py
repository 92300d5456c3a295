"""Power laws through the optima of several budgets: N_opt, D_opt and the loss there."""

from __future__ import annotations

import numpy as np

FRONTIER = ("n_coefficient", "n_exponent", "d_coefficient", "d_exponent", "loss_E", "loss_K", "loss_gamma")
"""Parameters of approaches 1 and 2: N_opt = n_coefficient C^n_exponent, D_opt likewise, and
loss_opt = loss_E + loss_K C^-loss_gamma; parameters, tokens, nats per token and FLOPs."""
LOSS_EXPONENTS = np.geomspace(0.005, 2.0, 61)
"""Exponents of the loss curve among which the search for the best one begins, and their bounds."""
GOLDEN_STEPS = 45
"""Steps of the golden section, each to .618 of the interval before."""
BOUND_MARGIN = 1e-6
"""Relative distance of the exponent from a bound that counts as none."""
FEWEST_FOR_LOSS_CURVE = 4
"""Minima from which the loss curve is judged: it passes through three of them whatever they are."""
LOSS_CURVE = FRONTIER[4:]


def power_law(C_K: np.ndarray, optimum_BxK: np.ndarray, weight_K: np.ndarray | None = None) -> np.ndarray:
    """(coefficient, exponent) of log optimum on log C by least squares, Bx2, over each row's finite optima.

    `C_K` may also be BxK, FLOPs. `weight_K` multiplies the squares: one over the variance of the log optimum
    gives the fits of Porian et al. (2024); by default all count alike, as in Hoffmann et al. (2022).
    NaN where fewer than two are finite, or all lie at one C.
    """
    # Each row has optima of its own at other budgets: sums over the known ones, instead of one matrix for
    # all.
    weight_BxK = np.isfinite(optimum_BxK) * (1.0 if weight_K is None else weight_K)
    known = weight_BxK > 0
    x = np.where(known, np.log(C_K), 0.0)
    y = np.where(known, np.log(np.where(known, optimum_BxK, 1.0)), 0.0)
    with np.errstate(all="ignore"):
        total = weight_BxK.sum(axis=1)
        # The slope of weighted least squares: covariance over variance, about the weighted means.
        mean_x, mean_y = (weight_BxK * x).sum(axis=1) / total, (weight_BxK * y).sum(axis=1) / total
        dx = weight_BxK * np.where(known, x - mean_x[:, None], 0.0)
        slope = (dx * y).sum(axis=1) / (dx * x).sum(axis=1)
        slope = np.where((known.sum(axis=1) >= 2) & np.isfinite(slope), slope, np.nan)
        return np.stack([np.exp(mean_y - slope * mean_x), slope], axis=1)


def loss_curve(C_K: np.ndarray, loss_BxK: np.ndarray) -> np.ndarray:
    """(E, K, gamma) of loss = E + K C^-gamma by least squares, Bx3, with E and K nonnegative.

    Linear in (E, K) at each gamma (variable projection, Golub and Pereyra 1973); the best gamma of a grid is
    refined by golden section. `C_K` may also be BxK, FLOPs. Only finite losses count; NaN below three.
    """
    known = np.isfinite(loss_BxK)
    y, centre = np.where(known, loss_BxK, 0.0), np.log(C_K).mean()
    away = np.log(C_K) - centre
    log_grid = np.log(LOSS_EXPONENTS)
    with np.errstate(all="ignore"):
        # The error may have two valleys in gamma: a grid finds the right one, the golden section its bottom.
        errors_GxB = np.stack(
            [_projected(y, known, away, np.full((len(y), 1), g))[2] for g in LOSS_EXPONENTS]
        )
        best_B = np.argmin(np.nan_to_num(errors_GxB, nan=np.inf), axis=0)
        low, high = (log_grid[np.clip(best_B + step, 0, len(LOSS_EXPONENTS) - 1)] for step in (-1, 1))
        ratio = (np.sqrt(5.0) - 1.0) / 2.0
        for _ in range(GOLDEN_STEPS):
            left, right = high - ratio * (high - low), low + ratio * (high - low)
            below, above = (_projected(y, known, away, np.exp(g)[:, None])[2] for g in (left, right))
            low, high = np.where(below <= above, low, left), np.where(below <= above, right, high)
        gamma_B = np.exp(0.5 * (low + high))
        # K was fitted to (C/centre)^-gamma, which is of order one at every gamma.
        E, K, _ = _projected(y, known, away, gamma_B[:, None])
        found = np.stack([E, K * np.exp(gamma_B * centre), gamma_B], axis=1)
    return np.where((known.sum(axis=1) >= 3)[:, None], found, np.nan)


def _projected(
    y: np.ndarray, known: np.ndarray, away: np.ndarray, gamma_Bx1: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(E, K, sum of squares) that are best at the given gamma, each B; `away`: log C less a constant."""
    # Simple regression of the loss on C^-gamma, over the known entries of each row.
    count = known.sum(axis=1)
    power = known * np.exp(-gamma_Bx1 * away)
    mean, mean_y = power.sum(axis=1) / count, y.sum(axis=1) / count
    dx = known * (power - mean[:, None])
    K = np.maximum((y * dx).sum(axis=1) / (dx**2).sum(axis=1), 0.0)
    E = mean_y - K * mean
    # With two nonnegative coefficients the constrained optimum has E = 0 where the free one has E < 0.
    K = np.where(E < 0, (y * power).sum(axis=1) / (power**2).sum(axis=1), K)
    E = np.maximum(E, 0.0)
    return E, K, ((y - known * E[:, None] - K[:, None] * power) ** 2).sum(axis=1)


def identified_loss(params: np.ndarray, minima: int) -> dict[str, bool]:
    """Whether the data determine the loss curve's parameters: not below `FEWEST_FOR_LOSS_CURVE` minima, nor
    at a bound."""
    E, K, gamma = params[4:]
    inside = (
        E > 0
        and K > 0
        and LOSS_EXPONENTS[0] * (1 + BOUND_MARGIN) < gamma < LOSS_EXPONENTS[-1] * (1 - BOUND_MARGIN)
    )
    return dict.fromkeys(LOSS_CURVE, bool(minima >= FEWEST_FOR_LOSS_CURVE and inside))


def loss_doubts(params: np.ndarray, minima: int) -> tuple[str, ...]:
    """Why the loss curve is not identified, a line, if it isn't."""
    if all(identified_loss(params, minima).values()):
        return ()
    few = f"{minima} minima are too few for its three parameters" if minima < FEWEST_FOR_LOSS_CURVE else (
        "the best one has its floor or its exponent at a bound"
    )  # fmt: skip
    return (f"the loss curve E + K C^-gamma is not identified: {few}; add budgets",)


def frontier_params(
    C_K: np.ndarray,
    N_BxK: np.ndarray,
    D_BxK: np.ndarray,
    loss_BxK: np.ndarray,
    weight_K: np.ndarray | None = None,
) -> np.ndarray:
    """The values of `FRONTIER`, Bx7. `weight_K`: see `power_law`; the loss curve is not weighted."""
    # D_opt is fitted by itself, not taken as C / (6 N_opt): under an exact count of FLOPs it is no power of
    # C.
    laws = [power_law(C_K, optimum_BxK, weight_K) for optimum_BxK in (N_BxK, D_BxK)]
    return np.concatenate([*laws, loss_curve(C_K, loss_BxK)], axis=1)
