"""Training FLOPs as a function of N and D, and the split of a budget between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from isoflop.analysis.laws import find_law

if TYPE_CHECKING:
    from isoflop.analysis.run_table import RunTable

LEAST_RATIO = 0.05
"""Floor of the ratio to 6N, far beyond the sizes it was seen at."""
SIX_ND_TOLERANCE = 1e-3
"""A table whose FLOPs are 6ND to this relative accuracy is counted by 6ND: its closed forms hold."""
FAMILY_TOLERANCE = 0.03
"""A smooth family rule stands for the table's sizes if it meets each of them to this relative accuracy."""


@dataclass(frozen=True, kw_only=True)
class SixN:
    """Training FLOPs per token of N parameters, 6N: the default, under which closed forms hold."""

    form: Literal["6N"] = "6N"
    six_n: ClassVar[bool] = True

    def __call__(self, N: ArrayLike) -> np.ndarray:
        """FLOPs per token at N parameters; any shape."""
        return 6.0 * np.asarray(N, dtype=float)


@dataclass(frozen=True, kw_only=True)
class FamilyRule:
    """Training FLOPs per token of a family of models, 6N (1 + k N^-s).

    What 6N misses (attention scores, the head, embeddings) grows with the width, N with about its square: one
    power law serves all sizes, and the family's optimum moves smoothly.
    """

    form: Literal["6N (1 + k N^-s)"] = "6N (1 + k N^-s)"
    k: float
    s: float
    six_n: ClassVar[bool] = False

    def __call__(self, N: ArrayLike) -> np.ndarray:
        """FLOPs per token at N parameters; any shape."""
        N = np.asarray(N, dtype=float)
        return 6.0 * N * np.maximum(1.0 + self.k * N**-self.s, LEAST_RATIO)


@dataclass(frozen=True, kw_only=True)
class SizeTable:
    """Training FLOPs per token of a table's own sizes, where no smooth rule fits them.

    The ratio to 6N is interpolated in log N (PCHIP); beyond the ends its distance from 1 falls as N^-1/2.
    """

    form: Literal["table"] = "table"
    n_params: tuple[float, ...]
    flops_per_token: tuple[float, ...]
    six_n: ClassVar[bool] = False

    def __call__(self, N: ArrayLike) -> np.ndarray:
        """FLOPs per token at N parameters; any shape."""
        N, sizes = np.asarray(N, dtype=float), np.array(self.n_params)
        ratios = np.array(self.flops_per_token) / (6.0 * sizes)
        from scipy.interpolate import PchipInterpolator  # a third of a second, and few tables need it

        within = np.clip(np.log(N), np.log(sizes[0]), np.log(sizes[-1]))
        if len(sizes) > 1:
            inside = PchipInterpolator(np.log(sizes), ratios)(within)
        else:
            inside = np.full(N.shape, ratios[0])
        end = np.exp(within)
        return 6.0 * N * np.maximum(1.0 + (inside - 1.0) * np.sqrt(np.minimum(end / N, N / end)), LEAST_RATIO)


@dataclass(frozen=True, kw_only=True)
class LawRule:
    """Training FLOPs per token as a law's source counts them, where they are not 6N: experts, low precision.

    At the defaults of the law's covariates.
    """

    form: Literal["law"] = "law"
    law: str
    six_n: ClassVar[bool] = False

    def __call__(self, N: ArrayLike) -> np.ndarray:
        """FLOPs per token at N parameters; any shape."""
        law, N = find_law(self.law), np.asarray(N, dtype=float)
        assert law.flops_per_token is not None
        return np.asarray(law.flops_per_token(N, *law.fill(N, N, 6.0 * N**2)), dtype=float)


PerToken = Annotated[SixN | FamilyRule | SizeTable | LawRule, Field(discriminator="form")]
"""Training FLOPs per token as a function of N, in one of four forms; `six_n`: whether it is 6N."""


def per_token(table: RunTable) -> PerToken:
    """The table's FLOPs per token: 6N, a family's rule, or each of its sizes, whichever first fits."""
    return per_token_of(table.N_R, table.C_R / table.D_R)


def per_token_of(N_R: np.ndarray, cost_R: np.ndarray) -> PerToken:
    """The same for sizes N_R that cost `cost_R` training FLOPs per token."""
    ratio_R = cost_R / (6.0 * N_R)
    if np.all(np.abs(ratio_R - 1.0) <= SIX_ND_TOLERANCE):
        return SixN()
    sizes, member_R = np.unique(N_R, return_inverse=True)
    ratio = np.exp(np.bincount(member_R, np.log(ratio_R)) / np.bincount(member_R))
    excess = ratio - 1.0
    if len(sizes) > 2 and (np.all(excess > 0) or np.all(excess < 0)):
        slope, level = np.polyfit(np.log(sizes), np.log(np.abs(excess)), 1)
        rule = FamilyRule(k=float(np.sign(excess[0]) * np.exp(level)), s=float(-slope))
        if slope < 0 and np.all(np.abs(rule(sizes) / (6.0 * sizes * ratio) - 1.0) <= FAMILY_TOLERANCE):
            return rule
    return SizeTable(n_params=tuple(sizes.tolist()), flops_per_token=tuple((6.0 * sizes * ratio).tolist()))


def allocate(
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray],
    C_K: np.ndarray,
    cost: Callable[[np.ndarray], np.ndarray],
    points: int = 1201,
) -> np.ndarray:
    """The size that minimizes `loss(N, D)` at each of K budgets, D = C / cost(N): numerically, for any law.

    `loss` maps N_KxM and D_KxM to losses of shape ...xKxM. Returns N_opt of shape ...xK; NaN where the loss
    falls to an end of the range searched, from one parameter per 1e9 tokens to 1e6 parameters a token.
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
