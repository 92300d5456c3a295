"""Training FLOPs as a function of N and D, and the split of a budget between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator

from analysis.runs import RunTable

SIX_ND_TOLERANCE = 1e-3
"""A table whose FLOPs are 6ND to this relative accuracy is counted by 6ND: its closed forms hold."""


@dataclass(frozen=True)
class PerToken:
    """Training FLOPs per token at a parameter count.

    `six_n`: 6N. Otherwise the table's own sizes and costs: between them the ratio to 6N is interpolated
    smoothly and monotonically in log N (PCHIP); beyond the ends its distance from 1 falls as N^-1/2, since what 6N misses (attention
    scores, the head, embeddings) grows with the width and N with its square.
    """

    sizes: tuple[float, ...] = ()
    costs: tuple[float, ...] = ()

    @property
    def six_n(self) -> bool:
        return not self.sizes

    def __call__(self, N: np.ndarray) -> np.ndarray:
        """FLOPs per token of training at N parameters; any shape."""
        N = np.asarray(N, dtype=float)
        if self.six_n:
            return 6.0 * N
        sizes = np.array(self.sizes)
        ratios = np.array(self.costs) / (6.0 * sizes)
        within = np.clip(np.log(N), np.log(sizes[0]), np.log(sizes[-1]))
        smooth = len(sizes) > 1 and PchipInterpolator(np.log(sizes), ratios)
        inside = smooth(within) if smooth else np.full(N.shape, ratios[0])
        end = np.where(sizes[-1] < N, sizes[-1], sizes[0])
        beyond = (sizes[0] > N) | (sizes[-1] < N)
        faded = np.maximum(1.0 + (inside - 1.0) * np.sqrt(end / N), 0.05)
        return 6.0 * N * np.where(beyond, faded, inside)

    def to_json(self) -> dict[str, Any]:
        if self.six_n:
            return {"form": "6N"}
        return {"form": "table", "n_params": list(self.sizes), "flops_per_token": list(self.costs)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PerToken:
        return cls(tuple(data.get("n_params", ())), tuple(data.get("flops_per_token", ())))


def per_token(table: RunTable) -> PerToken:
    """The table's FLOPs per token at each of its sizes: the geometric mean where runs of a size differ."""
    ratio_R = table.C_R / (6.0 * table.N_R * table.D_R)
    if np.all(np.abs(ratio_R - 1.0) <= SIX_ND_TOLERANCE):
        return PerToken()
    sizes, member_R = np.unique(table.N_R, return_inverse=True)
    mean = np.bincount(member_R, np.log(ratio_R)) / np.bincount(member_R)
    return PerToken(tuple(map(float, sizes)), tuple(map(float, 6.0 * sizes * np.exp(mean))))


def allocate(
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray], C_K: np.ndarray, cost: PerToken, points: int = 1201
) -> np.ndarray:
    """The size that minimizes `loss(N, D)` at each of K budgets, D = C / cost(N): numerically, for any law.

    `loss` maps N_KxM and D_KxM to losses of shape ...xKxM. Returns N_opt of shape ...xK; NaN where the
    loss falls
    to an end of the range searched, from one parameter per 1e9 tokens to 1e6 parameters a token.
    """
    C_Kx1 = np.asarray(C_K, dtype=float)[:, None]
    low, high = np.log(np.sqrt(C_Kx1 / 6e9)), np.log(np.sqrt(C_Kx1 * 1e6 / 6.0))
    low = np.maximum(low, 0.0)
    x_KxM = low + (high - low) * np.linspace(0.0, 1.0, points)
    N_KxM = np.exp(x_KxM)
    y = np.asarray(loss(N_KxM, C_Kx1 / cost(N_KxM)))
    best = np.argmin(np.where(np.isfinite(y), y, np.inf), axis=-1)
    edge = (best == 0) | (best == points - 1)
    middle = np.clip(best, 1, points - 2)[..., None]
    left, centre, right = (np.take_along_axis(y, middle + k, axis=-1)[..., 0] for k in (-1, 0, 1))
    bend = left - 2.0 * centre + right
    shift = np.where(bend > 0, 0.5 * (left - right) / np.where(bend > 0, bend, 1.0), 0.0)
    spacing = x_KxM[:, 1] - x_KxM[:, 0]
    found = x_KxM[:, 0] + (middle[..., 0] + shift) * spacing
    return np.where(edge, np.nan, np.exp(found))
