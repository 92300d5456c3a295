"""Weights of runs by the noise of cells that were trained with several seeds, as a power of compute."""

from __future__ import annotations

import numpy as np

from isoflop.analysis.run_table import RunTable
from isoflop.analysis.uncertainty.replicates import cells_of
from isoflop.analysis.uncertainty.run_noise import PRIOR_SD
from isoflop.base.errors import UserError

ENOUGH_FREEDOM = 6
"""Repeats below which their spread says too little of any trend."""
ENOUGH_BUDGETS = 3
"""Budgets with repeats, for a trend that is more than a pair's chance."""
NOISE_EXPONENTS = np.linspace(-1.0, 1.0, 401)
"""Exponents of the noise in compute that are weighed. Bounded: a handful of pairs must not weigh a run to
nothing."""


def noise_scale(table: RunTable) -> np.ndarray:
    """Typical over local standard deviation of a seed, shape R: what residuals are multiplied by.

    The noise is a power of compute, sd ~ C^-gamma, fitted to the variances of cells with several seeds by
    their chi-square likelihood with a normal prior on gamma. Held-out windows are common to all cells: their
    standard error is no part of this noise.

    Raises:
        UserError: the table has too few replicates to say how the noise changes.
    """
    member_R = cells_of(table)
    size_G = np.bincount(member_R)
    log_loss_R = np.log(table.loss_R)
    mean_G = np.bincount(member_R, log_loss_R) / size_G
    square_G = np.bincount(member_R, (log_loss_R - mean_G[member_R]) ** 2)
    freedom_G = size_G - 1
    log_C_G = np.bincount(member_R, np.log(table.C_R)) / size_G
    known = freedom_G > 0
    if freedom_G.sum() < ENOUGH_FREEDOM or len(np.unique(np.round(log_C_G[known], 2))) < ENOUGH_BUDGETS:
        raise UserError(
            f"{table.source} repeats seeds in {int(known.sum())} cells: weights from seeds need "
            f"{ENOUGH_FREEDOM} repeats over at least {ENOUGH_BUDGETS} budgets; leave --weights none"
        )
    gamma = _exponent(log_C_G[known] - log_C_G[known].mean(), square_G[known], freedom_G[known])
    log_sd_R = -gamma * (np.log(table.C_R) - np.log(table.C_R).mean())
    return np.exp(-log_sd_R)


def _exponent(x_G: np.ndarray, square_G: np.ndarray, freedom_G: np.ndarray) -> float:
    """Posterior mode of gamma on a grid; the level of the noise is profiled out."""
    relative = square_G[None] * np.exp(2.0 * NOISE_EXPONENTS[:, None] * x_G)
    # A cell's sum of squares is sd^2 C^(-2 gamma) chi-square: over all, the level has a closed form, and the
    # Jacobian adds gamma times the weighted log C.
    total = freedom_G.sum()
    level = np.maximum(relative.sum(axis=1) / total, 1e-300)
    log_likelihood = -0.5 * total * np.log(level) + NOISE_EXPONENTS * (freedom_G * x_G).sum()
    return float(NOISE_EXPONENTS[np.argmax(log_likelihood - 0.5 * (NOISE_EXPONENTS / PRIOR_SD) ** 2)])
