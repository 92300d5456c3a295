"""What each approach hands back, before it becomes a `LawFit`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from isoflop.analysis.compute import PerToken
from isoflop.analysis.constraints import Constraints
from isoflop.analysis.isoflops.budget import Budget
from isoflop.analysis.options import FitOptions
from isoflop.analysis.result import Certificate, Intervals, Misfit, Objective, Profiles
from isoflop.analysis.solver.fitted_law import FittedLaw
from isoflop.analysis.uncertainty.intervals import Interval, span_with, spread_about

KEPT_DRAWS = 400
"""Bootstrap draws that stay with a fit: enough for percentiles of what is predicted from it."""


@dataclass(frozen=True)
class ApproachResult:
    """One approach's answer on one table. `draws_BxP`: bootstrap draws of the values of `params`, in
    order.
    """

    law: str | None
    params: dict[str, float | None]
    exponents: dict[str, float | None]
    cost: PerToken
    fitted: FittedLaw | None = None
    """What was fitted by approach 3."""
    constraints: Constraints | None = None
    objective: Objective | None = None
    certificate: Certificate | None = None
    identified: dict[str, bool] = field(default_factory=dict)
    misfit: Misfit | None = None
    budgets: tuple[Budget, ...] | None = None
    next_runs: tuple[dict[str, float], ...] = ()
    profiles: Profiles | None = None
    draws_BxP: np.ndarray | None = None
    exponent_draws_BxK: np.ndarray | None = None
    """The same of the K values of `exponents`."""
    resampling: str = ""
    noise: float = 0.0
    """Standard deviation of the log loss about the fit, over its degrees of freedom."""
    warnings: tuple[str, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)
    """The approach's own fields of `FitConventions`."""

    def intervals(self, options: FitOptions) -> Intervals | None:
        """Percentile intervals of the draws, or those of the profiles; None without a bootstrap."""
        if self.profiles is not None:
            found = {name: profile.interval for name, profile in self.profiles.quantities.items()}
            return Intervals(
                level=options.level,
                method="profile",
                B=self.profiles.simulations,
                resampling=self.profiles.noise,
                params={name: found.get(self._tied.get(name, name), (None, None)) for name in self.params},
                exponents={name: found.get(name, (None, None)) for name in self.exponents},
                draws=self._kept,
            )
        if self.draws_BxP is None or self.exponent_draws_BxK is None:
            return None
        return Intervals(
            level=options.level,
            method="bootstrap",
            B=len(self.draws_BxP),
            resampling=self.resampling,
            params=self._spans(self.params, self.draws_BxP, options.level),
            exponents=self._spans(self.exponents, self.exponent_draws_BxK, options.level),
            draws=self._kept,
        )

    def _spans(
        self, values: dict[str, float | None], draws_BxP: np.ndarray, level: float
    ) -> dict[str, Interval]:
        span_of = spread_about if self.law is None else span_with
        rows = zip(values.items(), draws_BxP.T, strict=True)
        fixed = self.constraints.fixed if self.constraints else {}
        return {
            name: (None, None) if name in fixed else span_of(value, column, level)
            for (name, value), column in rows
        }

    @property
    def _tied(self) -> dict[str, str]:
        return self.constraints.tied if self.constraints else {}

    @property
    def _kept(self) -> tuple[tuple[float, ...], ...]:
        """Some of the draws, for intervals on what is predicted from the fit."""
        if self.draws_BxP is None:
            return ()
        kept = self.draws_BxP[:: max(1, -(-len(self.draws_BxP) // KEPT_DRAWS))]
        return tuple(tuple(float(f"{x:.9g}") for x in draw) for draw in kept)
