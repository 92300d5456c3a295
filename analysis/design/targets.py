"""What a design is for: one number that follows from the law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.analysis.compute import PerToken
from isoflop.analysis.laws import Law
from isoflop.analysis.result import optimal_size
from isoflop.analysis.uncertainty.quantities import exponents, optimum
from isoflop.base.errors import UserError

NAMES = ("a", "b", "n_opt", "loss")


@dataclass(frozen=True)
class Target:
    """An exponent (`a`: N_opt ~ C^a, `b`: D_opt ~ C^b), or the best size or the loss at `flops`."""

    name: str
    flops: float | None = None

    @property
    def relative(self) -> bool:
        """Known to a share of itself, and worked with as a logarithm."""
        return self.name == "n_opt"

    def __str__(self) -> str:
        return self.name if self.flops is None else f"{self.name}@{self.flops:g}"

    def values(self, law: Law, params_BxP: np.ndarray, C_K: np.ndarray, cost: PerToken) -> np.ndarray:
        """The target at each of B parameter vectors, its log where it is `relative`; NaN where there is none.

        `C_K`: the budgets, FLOPs, whose ends an exponent is a slope between, unless it has a closed form.
        """
        with np.errstate(all="ignore"):
            if self.flops is None:
                return exponents(law, params_BxP, C_K, cost)[:, ("a", "b").index(self.name)]
            if self.name == "n_opt":
                return np.log(optimal_size(law, params_BxP, np.array([self.flops]), cost)[:, 0])
            return optimum(law, params_BxP, self.flops, cost)[1]

    def shown(self, value: float) -> float:
        """A value as it is reported: a size in parameters, not its log."""
        return float(np.exp(value)) if self.relative else value

    def width(self, low: float, high: float) -> float:
        """Half the interval; of a size the factor less one that leads from its middle to an end."""
        half = 0.5 * (high - low)
        return float(np.expm1(min(half, 500.0))) if self.relative else half


def parse_target(text: str) -> Target:
    """`a`, `b`, `n_opt@FLOPS` or `loss@FLOPS`. Raises `UserError` for anything else."""
    name, at, flops = text.partition("@")
    if name not in NAMES or bool(at) != (name in ("n_opt", "loss")):
        raise UserError(f"target {text!r} is unknown: take a, b, n_opt@FLOPS or loss@FLOPS (as n_opt@1e20)")
    if not at:
        return Target(name)
    try:
        value = float(flops)
    except ValueError:
        value = float("nan")
    if not (np.isfinite(value) and value > 0):
        raise UserError(f"target {text!r}: after the @ give a positive number of FLOPs, such as 1e20")
    return Target(name, value)
