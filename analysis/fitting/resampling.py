"""What is resampled, and how: the bootstrap's designs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.runs import RunTable

MANY_TRUNKS = 20
"""With at least this many shared trunks they are resampled whole; with fewer, a resample would lose whole
sizes of the grid, and residuals with a trunk effect are resampled instead."""


@dataclass(frozen=True)
class Resamples:
    """B resamples of R runs: how often each run counts, and with which loss. First dimensions may be 1."""

    weight_BxR: np.ndarray
    loss_BxR: np.ndarray
    how: str


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
    table: RunTable, predicted_R: np.ndarray, parameters: int, B: int, rng: np.random.Generator
) -> Resamples:
    """Draw B resamples by the design that suits the table.

    Runs that stand alone are drawn with replacement; many shared trunks are drawn whole; with few, the
    residuals of log loss about `predicted_R` are drawn, split into a trunk's effect and the run's own.
    """
    member_R = trunks_of(table)
    R = len(table)
    if member_R is None:
        weight = rng.multinomial(R, np.full(R, 1.0 / R), size=B)
        return Resamples(weight.astype(float), table.loss_R[None], "runs, with replacement")
    T = int(member_R.max()) + 1
    if T >= MANY_TRUNKS:
        weight = rng.multinomial(T, np.full(T, 1.0 / T), size=B)[:, member_R]
        return Resamples(weight.astype(float), table.loss_R[None], f"{T} shared trunks, each whole")
    residual_R = np.log(table.loss_R) - np.log(predicted_R)
    noise_BxR = trunk_noise(residual_R, member_R, parameters, B, rng)
    how = f"residuals of log loss with an effect of each of {T} shared trunks"
    return Resamples(np.ones((1, R)), predicted_R * np.exp(noise_BxR), how)


def trunk_noise(
    residual_R: np.ndarray, member_R: np.ndarray, parameters: int, B: int, rng: np.random.Generator
) -> np.ndarray:
    """B draws of noise, BxR: a normal effect a trunk, and the runs' own residuals drawn with replacement.

    The variances are those of a one-way layout by moments (Searle, Casella and McCulloch 1992, chapter 3),
    scaled by R/(R - P) for the P parameters already fitted: residuals are smaller than the noise that made
    them.
    """
    R, T = len(residual_R), int(member_R.max()) + 1
    size_T = np.bincount(member_R, minlength=T)
    mean_T = np.bincount(member_R, residual_R, minlength=T) / size_T
    within_R = residual_R - mean_T[member_R]
    within = (within_R**2).sum() / max(R - T, 1)
    typical = (R - (size_T**2).sum() / R) / max(T - 1, 1)
    between = (size_T * (mean_T - residual_R.mean()) ** 2).sum() / max(T - 1, 1)
    effect = max((between - within) / max(typical, 1.0), 0.0)
    inflate = np.sqrt(R / max(R - parameters, 1))
    spread = np.sqrt((within_R**2).mean())
    own_R = within_R * (np.sqrt(within) / spread if spread > 0 else 0.0)
    effect_BxT = np.sqrt(effect) * rng.standard_normal((B, T))
    return inflate * (effect_BxT[:, member_R] + rng.choice(own_R, size=(B, R)))


@dataclass(frozen=True)
class SeedNoise:
    """Spread of the log loss over runs that differ in seed alone."""

    log_sd: float
    """Pooled standard deviation of log loss."""
    nats: float
    """The same of the loss, nats per token."""
    groups: int
    freedom: int
    """Degrees of freedom."""


def seed_noise(table: RunTable) -> SeedNoise | None:
    """Pooled over every (N, D) that was trained more than once; None where none was."""
    _, member_R = np.unique(np.stack([table.N_R, table.D_R]), axis=1, return_inverse=True)
    member_R = member_R.reshape(-1)
    size_G = np.bincount(member_R)
    freedom = int((size_G - 1).sum())
    if freedom == 0:
        return None

    def pooled(values_R: np.ndarray) -> float:
        mean_G = np.bincount(member_R, values_R) / size_G
        return float(np.sqrt(((values_R - mean_G[member_R]) ** 2).sum() / freedom))

    groups = int((size_G > 1).sum())
    return SeedNoise(pooled(np.log(table.loss_R)), pooled(table.loss_R), groups, freedom)
