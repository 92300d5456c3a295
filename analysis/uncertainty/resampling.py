"""Resampling for the bootstrap: runs, budgets, trunks, or residuals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.analysis.isoflops.groups import isoflop_groups
from isoflop.analysis.run_table import RunTable
from isoflop.base.errors import UserError

MANY_TRUNKS = 20
"""With at least this many shared trunks they are resampled whole; with fewer, a resample would lose whole
sizes of the grid, and residuals with a trunk effect are resampled instead."""


@dataclass(frozen=True)
class Resamples:
    """B resamples of R runs: how often each run counts, and with which loss. First dimensions may be 1."""

    weight_BxR: np.ndarray
    loss_BxR: np.ndarray
    description: str
    """What is resampled, in words."""


MAX_LOSSES_AT_ONCE = 4_000_000
"""Redrawn losses held at once, 32 MB, where each draw is reduced to a few numbers: a table of a million runs
is redrawn a few draws at a time."""


def batches(draws: int, losses: int) -> list[int]:
    """Sizes of the batches in which draws of so many losses each are made."""
    step = max(1, MAX_LOSSES_AT_ONCE // losses)
    return [min(step, draws - done) for done in range(0, draws, step)]


def trunks_of(table: RunTable) -> np.ndarray | None:
    """The trunk's number of each run, where some runs share one; None where all stand alone."""
    trunk = table.column("trunk_id")
    if trunk is None:
        return None
    alone = np.array([f"run {i}" for i in range(len(table))], dtype=object)
    names = np.where(np.equal(trunk, trunk), trunk, alone).astype(str)
    _, member_R = np.unique(names, return_inverse=True)
    return member_R if len(np.unique(member_R)) < len(table) else None


def resample(
    table: RunTable,
    predicted_R: np.ndarray,
    parameters: int,
    B: int,
    rng: np.random.Generator,
    what: str = "auto",
) -> Resamples:
    """Draw B resamples; `what` is an entry of `options.Resampling`.

    By default runs that stand alone are drawn with replacement; many shared trunks are drawn whole; with few,
    the residuals of log loss about `predicted_R` are drawn, split into a trunk's effect and the run's own.
    Raises `UserError` where the table has no budgets or shared trunks to draw.
    """
    member_R = trunks_of(table)
    if what == "auto":
        few = member_R is not None and int(member_R.max()) + 1 < MANY_TRUNKS
        what = "runs" if member_R is None else "residuals" if few else "trunks"
    if what == "residuals":
        return _residuals(table, predicted_R, member_R, parameters, B, rng)
    if what == "runs":
        return _blocks(table, np.arange(len(table)), "runs, with replacement", B, rng)
    if what == "budgets":
        budgets_R = _budgets(table)
        return _blocks(table, budgets_R, f"{budgets_R.max() + 1} budgets, each whole", B, rng)
    if member_R is None:
        raise UserError(f"{table.source} has no shared trunks (trunk_id) to resample: use --resample runs")
    return _blocks(table, member_R, f"{member_R.max() + 1} shared trunks, each whole", B, rng)


def _blocks(
    table: RunTable, member_R: np.ndarray, description: str, B: int, rng: np.random.Generator
) -> Resamples:
    """Whole blocks of runs, drawn with replacement."""
    blocks = int(member_R.max()) + 1
    # R draws with replacement, as counts: a run drawn twice has weight two, and the solver takes weights.
    weight_BxR = rng.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=B)[:, member_R]
    return Resamples(weight_BxR.astype(float), table.loss_R[None], description)


def _residuals(table, predicted_R, member_R, parameters, B, rng) -> Resamples:
    R = len(table)
    residual_R = np.log(table.loss_R) - np.log(predicted_R)
    if member_R is None:
        # Residuals of a fit with P parameters have (R - P)/R of the variance of the noise behind them.
        inflate = np.sqrt(R / max(R - parameters, 1))
        noise_BxR = inflate * _smoothed(residual_R, B, rng)
        description = "residuals of log loss"
    else:
        noise_BxR = trunk_noise(residual_R, member_R, parameters, B, rng)
        description = f"residuals of log loss with an effect of each of {member_R.max() + 1} shared trunks"
    return Resamples(np.ones((1, R)), predicted_R * np.exp(noise_BxR), description)


def _budgets(table: RunTable) -> np.ndarray:
    """The number of each run's block, R."""
    groups = isoflop_groups(table)
    if len(groups) < 2:
        raise UserError(f"{table.source} has no two IsoFLOP budgets to resample: use --resample runs")
    # A run in no budget is a block of its own, or it would be drawn never.
    member_R = np.full(len(table), -1)
    for g, group in enumerate(groups):
        member_R[group.rows] = g
    alone = np.flatnonzero(member_R < 0)
    member_R[alone] = len(groups) + np.arange(len(alone))
    return member_R


def trunk_noise(
    residual_R: np.ndarray, member_R: np.ndarray, parameters: int, B: int, rng: np.random.Generator
) -> np.ndarray:
    """B draws of noise, BxR: a normal effect a trunk, and the runs' own residuals drawn with replacement.

    The variances are those of a one-way layout by moments (Searle, Casella and McCulloch 1992, chapter 3),
    scaled by R/(R - P) for the P parameters already fitted: residuals are smaller than the noise that made
    them.
    """
    R, T = len(residual_R), int(member_R.max()) + 1
    # Mean squares within and between trunks; the expectation of the latter is sd_run^2 + typical sd_trunk^2,
    # with `typical` the trunks' size as unequal sizes count.
    size_T = np.bincount(member_R, minlength=T)
    mean_T = np.bincount(member_R, residual_R, minlength=T) / size_T
    within_R = residual_R - mean_T[member_R]
    within = (within_R**2).sum() / max(R - T, 1)
    typical = (R - (size_T**2).sum() / R) / max(T - 1, 1)
    between = (size_T * (mean_T - residual_R.mean()) ** 2).sum() / max(T - 1, 1)
    # A difference of mean squares: below zero where trunks differ by less than chance, and then there is no
    # effect.
    effect = max((between - within) / max(typical, 1.0), 0.0)
    inflate = np.sqrt(R / max(R - parameters, 1))
    spread = np.sqrt((within_R**2).mean())
    # Residuals about a trunk's own mean are too small by its freedom: scaled to the mean square within.
    own_R = within_R * (np.sqrt(within) / spread if spread > 0 else 0.0)
    effect_BxT = np.sqrt(effect) * rng.standard_normal((B, T))
    return inflate * (effect_BxT[:, member_R] + _smoothed(own_R, B, rng))


def _smoothed(residual_R: np.ndarray, B: int, rng: np.random.Generator) -> np.ndarray:
    """Residuals drawn with replacement, BxR, each a little moved, their variance kept.

    A Huber fit far beyond its delta goes through as many runs as it has parameters; drawn as they are, those
    zeros make the next fit look surer than it is. The smoothed bootstrap (Silverman and Young 1987), kernel
    normal, bandwidth by Silverman's rule.
    """
    R = len(residual_R)
    spread = float(residual_R.std())
    quartiles = np.quantile(residual_R, [0.25, 0.75])
    width = 0.9 * min(spread, float(np.ptp(quartiles)) / 1.34 or spread) * R**-0.2
    drawn = rng.choice(residual_R, size=(B, R)) + width * rng.standard_normal((B, R))
    return drawn * (spread / np.hypot(spread, width) if spread > 0 else 1.0)
