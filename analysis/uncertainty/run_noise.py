"""How far a run may fall from its law by chance alone: pooled over all sizes and budgets, with heavy tails.

The log loss of a run is its law's plus an effect of its trunk plus one of its own. Differences between the
seeds of a cell hold nothing else. They are taken to follow Student's t: a single bad run then makes the tails
heavy instead of blowing up the scale (Lange, Little and Taylor 1989), and is not hidden either, since the
tails are part of every predictive interval. Scale, degrees of freedom, the trunk's share of the variance and
the power of compute that the scale changes with are not known: all four are integrated over on a grid, so
that a few pairs that happen to agree do not make the noise small.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import betainc, gammaln, stdtrit

from isoflop.analysis.isoflops.groups import isoflop_groups
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.uncertainty.intervals import Interval
from isoflop.analysis.uncertainty.replicates import (
    Contrasts,
    repeats_of,
    residual_contrasts,
    seed_contrasts,
)
from isoflop.base.formatting import brief

FREEDOMS = np.array([2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 40.0, 100.0])
"""Degrees of freedom of Student's t that are weighed."""
DIFFERENCE_FREEDOMS = np.array([2.24, 3.67, 5.24, 8.66, 16.0, 34.6, 69.7, 159.0])
DIFFERENCE_SCALES = np.array([1.200, 1.136, 1.104, 1.072, 1.045, 1.022, 1.010, 1.003])
"""Of the t distribution that is nearest (in Kullback-Leibler divergence) to the difference of two runs over
sqrt(2), where each is of unit scale and of `FREEDOMS`. It is nearer to a normal one: with tails taken from
differences the noise of a single run would come out a tenth too large at 3 degrees of freedom."""
FREEDOM_PRIOR = (2.0, 0.1)
"""Shape and rate of their gamma prior: Juarez and Steel (2010), section 3."""
SHARES = (np.arange(8) + 0.5) / 8
"""Values of the trunk's share of the variance that are weighed, alike."""
SCALES = 61
"""Scales that are weighed, evenly in their logarithm."""
PRIOR_SD = 0.25
"""Standard deviation of the exponent of the noise in compute, about zero, before the seeds are looked at."""
EXPONENTS = np.linspace(-0.75, 0.75, 13)
TREND_EXPONENTS = np.linspace(-2.0, 2.0, 41)
"""Exponents of a reported trend, which has no prior: the seeds alone speak."""
SIGMA = 0.5 * (1 + 0.682689492)
"""Quantile of one standard deviation of a normal distribution."""
DRAWS = 200
"""Draws that stay with a fit."""
LEVEL = 0.95
OUTLYING = 0.05
"""Probability below which a difference stands out, and a trend is shown."""
ENOUGH_PAIRS = 6
"""Pairs below which the report says that they are few."""
NO_SPREAD = 1e-9
"""Spread of log N or log C, or of log losses, that is nothing but rounding."""


@dataclass(frozen=True)
class NoiseTrend:
    """The noise as a power of size or of compute: sd ~ x^exponent."""

    exponent: float
    interval: Interval
    """95%, of the seeds alone."""
    p_value: float
    """Probability of an exponent as far from zero, if there is none."""

    def clause(self, name: str) -> str:
        """The trend in words."""
        low, high = self.interval
        shown = "changes" if self.p_value < OUTLYING else "no change shown"
        power = f"{name}^{self.exponent:.2f} ({low:.2f} to {high:.2f})"
        return f"{shown} with {name}: {power}, p = {self.p_value:.1g}"


@dataclass(frozen=True)
class RunNoise:
    """Noise of a run's log loss. One standard deviation stands for the half-width that holds 68.3% of runs:
    with heavy tails a standard deviation proper may not exist.
    """

    log_sd: float
    """Posterior median at the pairs' mean compute, trunk and run together."""
    log_sd_interval: tuple[float, float]
    """95%."""
    nats: float
    """The same at the geometric mean of the repeated cells' losses, in the loss's unit: nats per token unless
    another metric is fitted."""
    rms_log_sd: float
    """Root mean square of the differences, tails and all."""
    trunk_log_sd: float | None
    """What a trunk's cells share; None where no two pairs share trunks."""
    run_log_sd: float | None
    """What is a run's own."""
    tail_freedom: float
    """Posterior median of the degrees of freedom of Student's t: 3 is heavy, 20 and more is normal."""
    outlier_p: float
    """Probability of a largest difference as large beside the others, were the noise normal."""
    size: NoiseTrend | None
    """None where pairs are of one size; `budget` likewise."""
    budget: NoiseTrend | None
    pairs: int
    """Runs beyond the first of each cell: independent differences, if no trunks are shared."""
    cells: int
    cells_repeated: int
    sizes: int
    sizes_repeated: int
    n_range: tuple[float, float]
    """Least and largest N with a pair."""
    budgets: tuple[float, ...]
    """IsoFLOP budgets, FLOPs; `budgets_repeated`: those with a pair. Empty in a table without them."""
    budgets_repeated: tuple[float, ...]
    centre_flops: float
    """Compute at which the scale of `draws` is."""
    draws: tuple[tuple[float, float, float], ...]
    """Scale of Student's t at `centre_flops`, its degrees of freedom, and the exponent in compute."""

    @property
    def share(self) -> float:
        """Share of cells with pairs."""
        return self.cells_repeated / self.cells

    @property
    def where(self) -> str:
        """From how many pairs, and where, a clause."""
        places = f"{self.sizes_repeated} of {self.sizes} sizes"
        if self.budgets:
            places += f" and {len(self.budgets_repeated)} of {len(self.budgets)} budgets"
        return f"{self.pairs} pair{'s' if self.pairs > 1 else ''} of seeds at {places}"

    @property
    def description(self) -> str:
        """The noise, its parts, tails and trends, and where it was measured, in clauses."""
        low, high = self.log_sd_interval
        parts = [f"{self.log_sd:.2%} of the loss ({low:.2%} to {high:.2%}), by {self.where}"]
        if self.trunk_log_sd is not None and self.run_log_sd is not None:
            parts.append(f"a trunk's part {self.trunk_log_sd:.2%}, a run's own {self.run_log_sd:.2%}")
        worst = f", the largest difference stands out (p = {self.outlier_p:.1g})"
        parts.append(
            f"tails as of Student's t with {self.tail_freedom:g} degrees of freedom"
            f"{worst if self.outlier_p < OUTLYING else ''}"
        )
        for name, trend in (("N", self.size), ("C", self.budget)):
            if trend is not None:
                parts.append(trend.clause(name))
        return "; ".join(parts)


@dataclass(frozen=True)
class ResidualNoise:
    """Spread of the log loss about a fitted law: noise, and what the law misses among the fitted runs."""

    log_sd: float
    """Posterior median of the half-width that holds 68.3%."""
    tail_freedom: float
    """Posterior median of the degrees of freedom of Student's t."""
    draws: tuple[tuple[float, float], ...]
    """Scale of Student's t and its degrees of freedom."""


@dataclass(frozen=True)
class NoisePosterior:
    """K combinations of what is not known, each with its probability."""

    weight_K: np.ndarray
    scale_K: np.ndarray
    freedom_K: np.ndarray
    share_K: np.ndarray
    exponent_K: np.ndarray

    @cached_property
    def sd_K(self) -> np.ndarray:
        """The half-width that holds 68.3%."""
        freedoms, at_K = np.unique(self.freedom_K, return_inverse=True)  # stdtrit is slow, and they are few
        return self.scale_K * stdtrit(freedoms, SIGMA)[at_K]

    def quantile(self, values_K: np.ndarray, q: float) -> float:
        """The posterior quantile of any function of them."""
        order = np.argsort(values_K)
        at = np.searchsorted(np.cumsum(self.weight_K[order]), q)
        return float(values_K[order[min(at, len(order) - 1)]])

    def draws(self, count: int, seed: int = 0) -> np.ndarray:
        """Scale, degrees of freedom and exponent, countx3: evenly spaced in probability, not at random."""
        # Stratified: one draw a stratum of the cumulative weights, in an order by scale, so that a few draws
        # have the posterior's tails.
        order = np.argsort(self.scale_K, kind="stable")
        at = np.searchsorted(np.cumsum(self.weight_K[order]), (np.arange(count) + 0.5) / count)
        k = order[np.minimum(at, len(order) - 1)]
        found = np.stack([self.scale_K[k], self.freedom_K[k], self.exponent_K[k]], axis=1)
        return np.random.default_rng(seed).permutation(found)


def noise_posterior(
    contrasts: Contrasts, log_x_F: np.ndarray | None = None, exponents: np.ndarray = EXPONENTS,
    prior_sd: float | None = PRIOR_SD,
) -> NoisePosterior:  # fmt: skip
    """The posterior on its grid; `log_x_F`: log of what the scale is a power of, unless it is the same
    everywhere."""
    F = len(contrasts.raw_F)
    spread = log_x_F is not None and np.ptp(log_x_F) > NO_SPREAD
    x_F = np.zeros(F) if log_x_F is None else log_x_F - log_x_F.mean()
    gamma_G = exponents if spread else np.zeros(1)
    shares = SHARES if np.ptp(contrasts.trunks_F) > NO_SPREAD else np.full(1, 0.5)
    rms = max(float(np.sqrt((contrasts.raw_F**2).mean())), NO_SPREAD)
    # Wide enough that what lies outside has no weight: with three pairs factors of thirty, with many a few.
    reach = min(3.5, 14.0 / np.sqrt(contrasts.freedom))
    scale_S = rms * np.exp(np.linspace(-max(reach, 1.5), reach, SCALES))
    unit_ShxF = np.sqrt(1.0 - shares[:, None] + shares[:, None] * contrasts.trunks_F)
    shape, rate = FREEDOM_PRIOR
    # Per degree of freedom on a grid that is even in its logarithm about: density times the freedom itself.
    prior_V = shape * np.log(FREEDOMS) - rate * FREEDOMS
    seen_V = DIFFERENCE_FREEDOMS if contrasts.differences else FREEDOMS
    wider_V = DIFFERENCE_SCALES if contrasts.differences else np.ones(len(FREEDOMS))
    log_GxVxShxS = np.empty((len(gamma_G), len(FREEDOMS), len(shares), SCALES))
    for g, gamma in enumerate(gamma_G):
        # x is centred, so the power of compute changes no determinant.
        rotated_F = contrasts.rotation_FxF @ (contrasts.raw_F * np.exp(-gamma * x_F))
        z2_ShxSxF = (rotated_F / (unit_ShxF[:, None] * scale_S[:, None])) ** 2
        for v, (freedom, wider) in enumerate(zip(seen_V, wider_V, strict=True)):
            log_t = -0.5 * (freedom + 1) * np.log1p(z2_ShxSxF / (freedom * wider**2)).sum(axis=-1)
            level = gammaln(0.5 * (freedom + 1)) - gammaln(0.5 * freedom) - 0.5 * np.log(freedom * wider**2)
            log_GxVxShxS[g, v] = log_t + F * level
        log_GxVxShxS[g] -= F * np.log(scale_S) + np.log(unit_ShxF).sum(axis=1)[:, None]
    log = log_GxVxShxS * (contrasts.freedom / F) + prior_V[:, None, None]
    if prior_sd is not None:
        log -= 0.5 * (gamma_G / prior_sd)[:, None, None, None] ** 2
    weight = np.exp(log - log.max())
    grids = np.meshgrid(gamma_G, FREEDOMS, shares, scale_S, indexing="ij")
    exponent_K, freedom_K, share_K, scale_K = (grid.ravel() for grid in grids)
    return NoisePosterior((weight / weight.sum()).ravel(), scale_K, freedom_K, share_K, exponent_K)


def seed_noise(table: RunTable) -> RunNoise | None:
    """The noise pooled over every cell that was trained more than once; None where none was."""
    contrasts = seed_contrasts(table)
    if contrasts is None or np.abs(contrasts.raw_F).max() < NO_SPREAD:
        return None
    found = noise_posterior(contrasts, contrasts.log_C_F)
    cell_R, repeated_R = repeats_of(table)
    low, middle, high = (found.quantile(found.sd_K, q) for q in ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2))
    shared = np.ptp(contrasts.trunks_F) > NO_SPREAD
    groups = isoflop_groups(table)
    return RunNoise(
        log_sd=middle,
        log_sd_interval=(low, high),
        nats=middle * float(np.exp(np.log(table.loss_R[repeated_R]).mean())),
        rms_log_sd=float(np.sqrt((contrasts.raw_F**2).mean())),
        trunk_log_sd=found.quantile(found.sd_K * np.sqrt(found.share_K), 0.5) if shared else None,
        run_log_sd=found.quantile(found.sd_K * np.sqrt(1 - found.share_K), 0.5) if shared else None,
        tail_freedom=found.quantile(found.freedom_K, 0.5),
        outlier_p=_outlier_p(contrasts, found),
        size=_trend(contrasts, contrasts.log_N_F),
        budget=_trend(contrasts, contrasts.log_C_F),
        pairs=int(repeated_R.sum() - len(np.unique(cell_R[repeated_R]))),
        cells=len(np.unique(cell_R)),
        cells_repeated=len(np.unique(cell_R[repeated_R])),
        sizes=len(np.unique(table.N_R)),
        sizes_repeated=len(np.unique(table.N_R[repeated_R])),
        n_range=(float(table.N_R[repeated_R].min()), float(table.N_R[repeated_R].max())),
        budgets=tuple(group.flops for group in groups),
        budgets_repeated=tuple(group.flops for group in groups if repeated_R[group.rows].any()),
        centre_flops=float(np.exp(contrasts.log_C_F.mean())),
        draws=tuple((_short(s), _short(v), _short(power)) for s, v, power in found.draws(DRAWS)),
    )


def residual_noise(table: RunTable, residual_R: np.ndarray, parameters: int) -> ResidualNoise | None:
    """The spread of the residuals of log loss about a law of so many parameters; None without any."""
    if np.abs(residual_R).max() < NO_SPREAD:
        return None
    found = noise_posterior(residual_contrasts(table, residual_R, parameters))
    return ResidualNoise(
        log_sd=found.quantile(found.sd_K, 0.5),
        tail_freedom=found.quantile(found.freedom_K, 0.5),
        draws=tuple((_short(s), _short(v)) for s, v, _ in found.draws(DRAWS)),
    )


def noise_warnings(noise: RunNoise | None, table: RunTable) -> tuple[str, ...]:
    """Where a table has pairs of seeds, and none where the noise matters most."""
    if noise is None:
        return ()
    bare = []
    if noise.n_range[1] < table.N_R.max() * (1 - 1e-6):
        bare.append(f"above N = {brief(noise.n_range[1])}")
    if noise.budgets and noise.budgets[-1] not in noise.budgets_repeated:
        top = max(noise.budgets_repeated, default=None)
        bare.append("at any budget" if top is None else f"above C = {brief(top)}")
    few = noise.pairs < ENOUGH_PAIRS
    if not bare and not few:
        return ()
    low, high = noise.log_sd_interval
    lack = f"no pairs {' and none '.join(bare)}" if bare else "few"
    return (
        f"the noise between seeds comes from {noise.where}, {lack}: {brief(noise.log_sd)} of the loss, "
        f"{brief(low)} to {brief(high)} by these pairs; train every cell under two seeds",
    )


def _outlier_p(contrasts: Contrasts, found: NoisePosterior) -> float:
    """Of the largest square over their sum, a beta variable for normal noise; by Bonferroni over F."""
    share = float(found.weight_K @ found.share_K)
    z2_F = (contrasts.rotation_FxF @ contrasts.raw_F) ** 2 / (1 - share + share * contrasts.trunks_F)
    F = len(z2_F)
    if F < 2:
        return 1.0
    return float(min(1.0, F * betainc(0.5 * (F - 1), 0.5, 1.0 - z2_F.max() / z2_F.sum())))


def _trend(contrasts: Contrasts, log_x_F: np.ndarray) -> NoiseTrend | None:
    if np.ptp(log_x_F) <= NO_SPREAD:
        return None
    found = noise_posterior(contrasts, log_x_F, TREND_EXPONENTS, None)
    low, middle, high = (found.quantile(found.exponent_K, q) for q in ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2))
    zero = 0.5 * float(found.weight_K[found.exponent_K == 0].sum())
    above = float(found.weight_K[found.exponent_K > 0].sum()) + zero
    return NoiseTrend(middle, (low, high), min(1.0, 2 * min(above, 1 - above)))


def _short(x: float) -> float:
    """Four digits: a draw's, in a file of hundreds."""
    return float(f"{x:.4g}")
