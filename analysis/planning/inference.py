"""Models that are to be used: the cheapest over training and serving, and what over-training costs.

Sardana et al. (2024), Beyond Chinchilla-Optimal: minimize 6 N D + 2 N T at a given loss, T tokens served.
With a fit's own FLOPs per token c(N) in the place of 6N, a token served costs c(N) / 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.analysis.planning.magnitude import check_tokens
from isoflop.analysis.planning.question import interval_of, parameter_rows, tokens_at
from isoflop.analysis.result import LawFit
from isoflop.analysis.uncertainty.intervals import Interval
from isoflop.base.errors import UserError

SIZES, DRAWN_SIZES = 4001, 301
"""Sizes among which the cheapest is sought, by the fit and by each of its draws: steps of .15% and 2%."""
SMALLER = np.array([0.75, 0.5, 0.35, 0.25, 0.15, 0.1])
"""Sizes over N_opt of the trade-off's rows."""
MOST_OVERHEAD = 9.0
"""A row of the trade-off that takes more than ten times the training is left out."""
NUDGE = 1e-4
"""Step in a logarithm of the differences that stand for elasticities: their error is a hundredth of it."""


@dataclass(frozen=True)
class Smaller:
    """A model below the compute-optimal size, trained on to the same loss. FLOPs, parameters, tokens."""

    n: float
    d: float
    training_flops: float
    overhead: float
    """Its training FLOPs over those of the compute-optimal model, less 1."""
    pays_from: float
    """Tokens served, above which it costs less than the compute-optimal model."""


@dataclass(frozen=True)
class Lifetime:
    """A smaller model, trained longer to the same loss, that costs less with its use counted.

    N in parameters, D and the tokens served in tokens, the rest in FLOPs.
    """

    inference_tokens: float
    n: float
    d: float
    training_flops: float
    total_flops: float
    optimal_total_flops: float
    """What the compute-optimal model costs with the same use."""
    saving: float
    """Share of that saved."""
    n_interval: Interval | None = None
    d_interval: Interval | None = None
    saving_interval: Interval | None = None
    """Of the fit's draws, each at the loss that it gives the compute-optimal model."""
    smaller: tuple[Smaller, ...] = ()
    """What over-training costs, and the demand at which it pays; sizes out of reach left out."""


def lifetime(fit: LawFit, flops: float, inference_tokens: float) -> Lifetime:
    """The cheapest model over training and use that is as good as the compute-optimal one at `flops`.

    Approach 3 only (`UserError` otherwise): the trade needs the surface.
    """
    if fit.law is None:
        raise UserError("--inference-tokens needs the surface L(N, D): fit with --approach 3")
    check_tokens(fit, "--inference-tokens", inference_tokens)
    rows_BxP = parameter_rows(fit)
    n_opt_B = fit.optimum(np.array([flops]), rows_BxP)[:, 0]
    own, *drawn = (
        _cheapest(fit, p, n_opt, flops, inference_tokens, DRAWN_SIZES if b else SIZES)
        for b, (p, n_opt) in enumerate(zip(rows_BxP, n_opt_B, strict=True))
    )
    n, d, training, total, optimal = own
    n_B, d_B, _, total_B, optimal_B = np.array([own, *drawn]).T
    return Lifetime(
        inference_tokens=float(inference_tokens),
        n=n,
        d=d,
        training_flops=training,
        total_flops=total,
        optimal_total_flops=optimal,
        # The optimal model itself is one of those compared: below zero lie only the steps of the grid.
        saving=max(1 - total / optimal, 0.0),
        n_interval=interval_of(fit, n_B),
        d_interval=interval_of(fit, d_B),
        saving_interval=interval_of(fit, 1 - total_B / optimal_B),
        smaller=smaller_models(fit, flops),
    )


def _cheapest(
    fit: LawFit, params_P: np.ndarray, n_opt: float, flops: float, served: float, sizes: int
) -> tuple[float, float, float, float, float]:
    """N, D, training and total FLOPs of the cheapest model, and the total of the compute-optimal one."""
    cost_opt = float(fit.cost(n_opt))
    optimal = flops + cost_opt / 3 * served
    target = float(fit.losses(params_P, n_opt, flops / cost_opt))
    # With use counted the best model is smaller than the compute-optimal one: the grid reaches far below it.
    log_n = np.log(n_opt) + np.linspace(-5, 1, sizes)
    n = np.exp(log_n)
    d = tokens_at(fit, params_P, n, target)
    total = fit.cost(n) * (d + served / 3)
    if not np.isfinite(total).any():
        return np.nan, np.nan, np.nan, np.nan, optimal
    best = int(np.nanargmin(total))
    return float(n[best]), float(d[best]), float(fit.cost(n[best]) * d[best]), float(total[best]), optimal


def smaller_models(fit: LawFit, flops: float) -> tuple[Smaller, ...]:
    """Models below the compute-optimal size at `flops`, trained on to its loss."""
    n_opt = float(fit.allocate(flops)[0])
    target = float(fit.predict(n_opt, flops / fit.cost(n_opt)))
    n = SMALLER * n_opt
    d = tokens_at(fit, fit.params_P, n, target)
    training = fit.cost(n) * d
    # A token served by it saves a third of the difference in training FLOPs a token.
    pays_from = (training - flops) / ((fit.cost(n_opt) - fit.cost(n)) / 3)
    rows = zip(n, d, training, training / flops - 1, pays_from, strict=True)
    return tuple(Smaller(*map(float, row)) for row in rows if row[3] <= MOST_OVERHEAD)


def revealed_demand(fit: LawFit, params_P: np.ndarray, N: float, D: float) -> float:
    """Tokens served for which N parameters on D tokens are the cheapest of their loss; negative where none
    are: the model is larger than the compute-optimal one.

    From the first-order condition of 6 N D + 2 N T at fixed loss, eps_N / eps_D = 1 + T / (3 D), the eps
    being the loss's elasticities (Sardana et al. 2024); with another cost, its own elasticity divides eps_N.
    """
    n = N * np.exp([NUDGE, -NUDGE, 0, 0])
    d = D * np.exp([0, 0, NUDGE, -NUDGE])
    loss = fit.losses(params_P, n, d)
    by_size, by_tokens = loss[1] - loss[0], loss[3] - loss[2]
    growth = np.log(fit.cost(n[0]) / fit.cost(n[1])) / (2 * NUDGE)
    return float(3 * D * (by_size / (growth * by_tokens) - 1))
