"""The learning-rate rule from the tuning runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isoflop.base.errors import UserError
from isoflop.sweeps.grids.config import Rates


@dataclass(frozen=True)
class Anchor:
    """The tuned rate of one width. `lr`: the vertex of the parabola in log rate through the best rate tried
    and its neighbours; `at_edge`: the best was the lowest or highest tried, and stands as it is."""

    d_model: int
    budget: float
    lr: float
    at_edge: bool


@dataclass(frozen=True)
class TunedRates:
    """The rule, the anchors it was fitted to, and what to warn of."""

    rates: Rates
    anchors: tuple[Anchor, ...]
    warnings: tuple[str, ...]


def tune(rates: Rates, trials: Sequence[tuple[int, float, float, float]]) -> TunedRates:
    """The rule fitted to `trials`: (width, budget, rate, loss in nats), of every anchor at every rate tried.

    The vertex, not the best of several noisy tries, is each anchor's rate; the rule is the power of the
    width through the anchors (least squares in logs), or with one anchor the given exponent through it.
    """
    anchors = tuple(
        _anchor(width, budget, [(lr, loss) for w, b, lr, loss in trials if (w, b) == (width, budget)])
        for width, budget in rates.anchors
    )
    x = np.log([anchor.d_model for anchor in anchors])
    y = np.log([anchor.lr for anchor in anchors])
    slope = float(np.polyfit(x, y, 1)[0]) if len(set(x)) > 1 else -rates.exponent
    coefficient = math.exp(float(np.mean(y - slope * x)))
    warnings = tuple(
        f"the best learning rate tried at width {a.d_model} is the {'highest' if high else 'lowest'} of them "
        f"({a.lr:.3g}): widen rates.tried"
        for a in anchors
        if a.at_edge
        for high in [a.lr > rates.at(a.d_model)]
    )
    rule = Rates(float(f"{coefficient:.4g}"), float(f"{-slope:.4g}"))
    return TunedRates(rule, anchors, warnings)


def _anchor(width: int, budget: float, tries: list[tuple[float, float]]) -> Anchor:
    tries = sorted((lr, loss) for lr, loss in tries if math.isfinite(loss))
    if not tries:
        raise UserError(
            f"no learning rate tried at width {width} gave a loss: tuning.csv says which diverged (lower "
            "rates.coefficient) and which failed"
        )
    best = min(range(len(tries)), key=lambda i: tries[i][1])
    if best in (0, len(tries) - 1):
        return Anchor(width, budget, tries[best][0], at_edge=True)
    x, y = (
        np.log([lr for lr, _ in tries[best - 1 : best + 2]]),
        [loss for _, loss in tries[best - 1 : best + 2]],
    )
    curvature, slope, _ = np.polyfit(x - x[1], y, 2)
    return Anchor(width, budget, float(math.exp(x[1] - slope / (2 * curvature))), at_edge=False)
