"""What to train where distinct tokens are limited: how often to repeat them, when to grow the model instead.

Muennighoff et al. (2023), Scaling Data-Constrained Language Models, section 5: with U distinct tokens the
loss at a budget has a minimum over N with D = C / 6N tokens, min(U, D) of them distinct.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.analysis.compute import allocate
from isoflop.analysis.laws import find_law
from isoflop.analysis.planning.magnitude import check_tokens
from isoflop.analysis.planning.question import interval_of, parameter_rows, size_of_cost
from isoflop.analysis.result import LawFit
from isoflop.analysis.uncertainty.intervals import Interval
from isoflop.base.errors import UserError

COLUMN = "n_tokens_unique"
"""The covariate of a law that knows repeated tokens."""
EPOCHS = (1.0, 2.0, 4.0, 8.0, 16.0, 44.0)
"""Passes over the text whose worth is listed."""
STEP = 1.05
"""Factor of the budget over which the optimum's growth is taken."""


@dataclass(frozen=True)
class Epochs:
    """So many passes over the distinct tokens at a budget: the size they leave room for, and the loss."""

    epochs: float
    n: float
    loss: float


@dataclass(frozen=True)
class DataLimit:
    """The best split of a budget over U distinct tokens. Parameters, tokens, the fit's loss unit."""

    unique_tokens: float
    n: float
    d: float
    epochs: float
    loss: float
    n_interval: Interval | None
    epochs_interval: Interval | None
    loss_interval: Interval | None
    fresh_loss: float
    """The least loss at that budget with as many distinct tokens as it could use."""
    one_epoch: Epochs | None
    """The model that sees each token once at that budget; None where the budget does not reach through."""
    by_epochs: tuple[Epochs, ...]
    growth: float
    """Share of a larger budget's growth, in logs, that best goes to parameters, the rest to repetitions."""


def data_limit(fit: LawFit, flops: float, unique_tokens: float) -> DataLimit:
    """The best use of `flops` over so many distinct tokens.

    Raises `UserError` for a law that knows fresh tokens only.
    """
    check_tokens(fit, "--unique-tokens", unique_tokens)
    if unique_tokens == 0:
        raise UserError("--unique-tokens 0: give the distinct tokens there are, such as 1e11")
    _refuse_fresh_only(fit)
    rows_BxP = parameter_rows(fit)
    n_B = np.array([_best_size(fit, p, flops, unique_tokens) for p in rows_BxP])
    if not np.isfinite(n_B[0]):
        raise UserError(f"no interior optimum at {flops:.3g} FLOPs over {unique_tokens:.3g} distinct tokens")
    d_B = flops / fit.cost(n_B)
    loss_B = np.array([_loss(fit, p, n, flops, unique_tokens) for p, n in zip(rows_BxP, n_B, strict=True)])
    fresh = float(fit.allocate(flops)[0])
    passes = [_epochs(fit, flops, unique_tokens, epochs) for epochs in EPOCHS]
    larger = _best_size(fit, fit.params_P, STEP * flops, unique_tokens)
    return DataLimit(
        unique_tokens=float(unique_tokens),
        n=float(n_B[0]),
        d=float(d_B[0]),
        epochs=float(d_B[0] / unique_tokens),
        loss=float(loss_B[0]),
        n_interval=interval_of(fit, n_B),
        epochs_interval=interval_of(fit, d_B / unique_tokens),
        loss_interval=interval_of(fit, loss_B),
        fresh_loss=float(fit.predict(fresh, flops / fit.cost(fresh))),
        one_epoch=passes[0] if d_B[0] > unique_tokens else None,
        by_epochs=tuple(passes),
        growth=float(np.log(larger / n_B[0]) / np.log(STEP)),
    )


def knows_repetition(fit: LawFit) -> bool:
    """Whether the fit's law tells repeated tokens from fresh ones."""
    return fit.law is not None and any(c.column == COLUMN for c in find_law(fit.law).covariates)


def _refuse_fresh_only(fit: LawFit) -> None:
    if not knows_repetition(fit):
        name = fit.law or f"approach {fit.approach}"
        raise UserError(
            f"--unique-tokens: {name} knows fresh tokens only; fit runs that repeat theirs with --law "
            "muennighoff, or ask muennighoff:muennighoff"
        )


def _loss(fit: LawFit, params_P: np.ndarray, N, flops: float, unique: float) -> np.ndarray:
    """The loss of sizes N at the budget, of which at most `unique` tokens are distinct."""
    law = find_law(fit.law or "")
    N = np.asarray(N, dtype=float)
    D = flops / fit.cost(N)
    defaults = law.fill(N, D, flops + 0 * N)
    given = [
        np.minimum(unique, D) if c.column == COLUMN else value
        for c, value in zip(law.covariates, defaults, strict=True)
    ]
    return fit.losses(params_P, N, D, *given)


def _best_size(fit: LawFit, params_P: np.ndarray, flops: float, unique: float) -> float:
    found = allocate(lambda N, _: _loss(fit, params_P, N, flops, unique), np.array([flops]), fit.cost)
    return float(found[0])


def _epochs(fit: LawFit, flops: float, unique: float, epochs: float) -> Epochs:
    n = size_of_cost(fit, flops / (epochs * unique))
    return Epochs(epochs, n, float(_loss(fit, fit.params_P, n, flops, unique)))
