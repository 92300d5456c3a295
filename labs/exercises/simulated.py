"""Run tables of a law L = E + A/N^alpha + B/D^beta (Hoffmann et al. 2022), drawn anew for each student."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from isoflop.labs.truth import random_of

Array = Any
"""A float or a float64 array."""
NOT_SECRET = b"isoflop's notebooks"
"""The tables depend on the student's name alone, so that a notebook needs no server."""


def random_numbers(student: str, notebook: str) -> np.random.Generator:
    """The student's own, for one notebook."""
    return random_of(NOT_SECRET, student, notebook)


@dataclass(frozen=True)
class Surface:
    """Loss in nats per token over N parameters and D tokens; C = 6 N D."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float

    def loss(self, N: Array, D: Array) -> Array:
        """The loss without noise."""
        return self.E + self.A * N**-self.alpha + self.B * D**-self.beta

    def n_opt(self, C: Array) -> Array:
        """The size of least loss at C FLOPs (Hoffmann et al. 2022, equation 4)."""
        ratio = self.alpha * self.A / (self.beta * self.B)
        return ratio ** (1 / (self.alpha + self.beta)) * (C / 6) ** (self.beta / (self.alpha + self.beta))


def draw_surface(rng: np.random.Generator) -> Surface:
    """A law in which alpha and beta differ by so much that nobody takes one for the other unnoticed."""
    alpha, beta = rng.uniform(0.37, 0.44), rng.uniform(0.26, 0.31)
    n_opt = rng.uniform(4e7, 9e7)
    d_opt = 1e19 / (6 * n_opt)
    reducible = rng.uniform(1.2, 1.6)  # nats at the optimum of 1e19 FLOPs
    # At the optimum alpha A/N^alpha = beta B/D^beta.
    A = reducible * beta / (alpha + beta) * n_opt**alpha
    B = reducible * alpha / (alpha + beta) * d_opt**beta
    return Surface(rng.uniform(1.5, 2.0), float(A), alpha, float(B), beta)


def run_table(surface: Surface, N: Array, D: Array, noise: float, rng: np.random.Generator) -> pd.DataFrame:
    """A row a run; `noise`: the standard deviation of the log loss."""
    loss = surface.loss(N, D) * np.exp(noise * rng.standard_normal(len(N)))
    return pd.DataFrame({"n_params": N, "n_tokens": D, "flops": 6 * N * D, "loss": loss})


def vertex(x: Array, y: Array) -> float:
    """Where the least-squares parabola through y over x has its minimum."""
    curvature, slope, _ = np.polyfit(x, y, 2)
    return float(-slope / (2 * curvature))
