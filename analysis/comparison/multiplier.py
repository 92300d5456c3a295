"""The compute multiplier: how many times the FLOPs one recipe needs for another's loss.

Each recipe's frontier is its fit's least loss at a budget C. Where recipe A comes to the loss L_A(C), recipe
B comes to it at C_B with L_B(C_B) = L_A(C): the multiplier of B is C_B / C, above 1 where A is the better.
Its uncertainty is that of both fits, whose redraws are paired at random: the tables' noise is independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.analysis.comparison.same_text import refuse_unlike
from isoflop.analysis.result import LawFit
from isoflop.analysis.uncertainty.intervals import Interval, span_with
from isoflop.base.display import Displayed, Summary, warning_lines
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief, interval
from isoflop.base.json_values import Serializable

POINTS = 25
"""Budgets at which the multiplier is had; a table shows every sixth of them."""
SEARCHED, BEYOND = 96, 30.0
"""Budgets of B's frontier, and how far beyond B's runs a redraw's answer is followed: cut off at their ends,
intervals would look closed there."""
SHORTEST = 1.05
"""A common range of compute shorter than this factor is none."""


@dataclass(frozen=True)
class MultiplierPoint:
    """Both recipes where A spends `flops`: A's frontier loss there, B's, and B's FLOPs for A's loss."""

    flops: float
    loss_a: float
    loss_b: float
    difference: float
    """B's loss less A's at equal FLOPs."""
    difference_interval: Interval
    flops_b: float
    multiplier: float
    interval: Interval


@dataclass(frozen=True, repr=False)
class ComputeMultiplier(Displayed, Serializable):
    """How many times the FLOPs recipe `b` needs for the loss of recipe `a`, over A's budgets."""

    a: str
    b: str
    points: tuple[MultiplierPoint, ...]
    """Ascending in FLOPs, over `flops_range`."""
    flops_range: tuple[float, float]
    """A's FLOPs at which A's runs give the loss, and B's runs reach it."""
    slope: float
    """d log multiplier / d log C over the range: positive where A's lead grows with compute."""
    slope_interval: Interval
    level: float | None
    """None without redraws."""
    B: int
    """Pairs of redraws."""
    method: str
    quantity: str
    """What is called loss, and its `unit`."""
    unit: str
    warnings: tuple[str, ...] = ()

    @property
    def middle(self) -> MultiplierPoint:
        """The point in the middle of the range, in log FLOPs."""
        return self.points[len(self.points) // 2]

    @property
    def shown(self) -> tuple[MultiplierPoint, ...]:
        """The few points of a table."""
        return self.points[:: (POINTS - 1) // 4]

    @property
    def verdict(self) -> str:
        """Which is better over the range, and whether that changes with compute, as far as the intervals
        say."""
        low, high = self.middle.interval
        if low is None or high is None:
            lead = f"B needs {self.middle.multiplier:.2f} times A's FLOPs"
        elif low > 1:
            lead = f"A is better: B needs {self.middle.multiplier:.2f} times A's FLOPs"
        elif high < 1:
            lead = f"B is better: it needs {self.middle.multiplier:.2f} times A's FLOPs"
        else:
            lead = f"no difference beyond noise: B needs {self.middle.multiplier:.2f} times A's FLOPs"
        span = interval(self.middle.interval)
        return f"{lead} {span}".rstrip() + f" at {brief(self.middle.flops)}; {self.trend}"

    @property
    def trend(self) -> str:
        """Whether the multiplier changes with compute."""
        low, high = self.slope_interval
        slope = f"(C^{self.slope:+.3f} {interval(self.slope_interval)}".rstrip() + ")"
        if low is None or high is None:
            return f"with compute it goes as {slope}"
        if low <= 0 <= high:
            return f"no trend with compute beyond noise {slope}"
        return f"it {'grows' if low > 0 else 'falls'} with compute {slope}"

    def summary(self) -> Summary:
        """The multiplier at a few budgets."""
        rows = [
            (brief(p.flops), f"{p.multiplier:.3g}", interval(p.interval), f"{p.difference:+.4f}")
            for p in self.shown
        ]
        level = f"{self.level:.0%} interval" if self.level else "no interval"
        headers = ("A's FLOPs", "B's over A's", level, f"{self.quantity} B - A")
        title = f"ComputeMultiplier: A is {self.a}, B is {self.b}"
        return Summary(title, headers, rows, (self.verdict, *warning_lines(self.warnings)))


def compute_multiplier(
    a: LawFit, b: LawFit, names: tuple[str, str] = ("A", "B"), seed: int = 0
) -> ComputeMultiplier:
    """The multiplier of `b` against `a`, over the range of C in which both have runs and no further.

    `seed`: of the pairing of redraws.

    Raises:
        UserError: the two are not of one text and metric, count FLOPs otherwise, have no common range, or
            have no frontier.
    """
    warnings = refuse_unlike(a, b)
    C_K = _common_range(a, b)
    pairs = min(len(a.draws_BxP), len(b.draws_BxP))
    # Two fits may come of one seed, whose redraws would go together as the tables' noise does not.
    shuffled = np.random.default_rng([seed, 5]).permutation(b.draws_BxP)[:pairs]
    params_a = np.vstack([a.params_P, a.draws_BxP[:pairs]])
    params_b = np.vstack([b.params_P, shuffled])
    loss_a, loss_b = frontier(a, C_K, params_a), frontier(b, C_K, params_b)
    log_m = _log_flops(b, params_b, loss_a) - np.log(C_K)
    away_K = np.log(C_K) - np.log(C_K).mean()
    slope = log_m @ away_K / (away_K @ away_K)
    level = a.intervals.level if a.intervals and b.intervals and pairs else None

    def span(values: np.ndarray) -> Interval:
        return (None, None) if level is None else span_with(float(values[0]), values[1:], level)

    points = tuple(
        MultiplierPoint(
            flops=float(C_K[k]),
            loss_a=float(loss_a[0, k]),
            loss_b=float(loss_b[0, k]),
            difference=float(loss_b[0, k] - loss_a[0, k]),
            difference_interval=span(loss_b[:, k] - loss_a[:, k]),
            flops_b=float(np.exp(log_m[0, k]) * C_K[k]),
            multiplier=float(np.exp(log_m[0, k])),
            interval=span(np.exp(log_m[:, k])),
        )
        for k in range(len(C_K))
    )
    return ComputeMultiplier(
        a=names[0],
        b=names[1],
        points=points,
        flops_range=(float(C_K[0]), float(C_K[-1])),
        slope=float(slope[0]),
        slope_interval=span(slope),
        level=level,
        B=pairs,
        method=f"frontiers of {_method(a)} and {_method(b)}",
        quantity=a.conventions.quantity,
        unit=a.conventions.unit,
        warnings=warnings,
    )


def frontier(fit: LawFit, C_K: np.ndarray, params_BxP: np.ndarray) -> np.ndarray:
    """The least loss at K budgets, FLOPs, for B parameter vectors, BxK; NaN where a law has no optimum."""
    if fit.law is None:  # approaches 1 and 2: the loss curve through the minima
        E, K, gamma = params_BxP.T[4:7, :, None]
        return E + K * C_K**-gamma
    losses = []
    for params_P in params_BxP:  # one by one: a search over sizes for every budget of every draw is large
        N_K = fit.optimum(C_K, params_P)
        losses.append(fit.losses(params_P, N_K, C_K / fit.cost(N_K)))
    return np.stack(losses)


def _log_flops(fit: LawFit, params_BxP: np.ndarray, loss_BxK: np.ndarray) -> np.ndarray:
    """Log of the FLOPs at which the frontier comes to each loss, BxK; NaN beyond what is followed."""
    low, high = fit.conventions.flops_range
    C_M = np.geomspace(low / BEYOND, high * BEYOND, SEARCHED)
    found = []
    for wanted_K, loss_M in zip(loss_BxK, frontier(fit, C_M, params_BxP), strict=True):
        known = np.isfinite(loss_M)
        if known.sum() < 2:
            found.append(np.full(len(wanted_K), np.nan))
            continue
        falling = np.minimum.accumulate(loss_M[known])
        x_M = np.log(C_M[known])
        # np.interp wants rising abscissae: minus the loss rises with compute.
        found.append(np.interp(-wanted_K, -falling, x_M, left=np.nan, right=np.nan))
    return np.stack(found)


def _common_range(a: LawFit, b: LawFit) -> np.ndarray:
    """`POINTS` budgets of A, FLOPs, within A's runs and such that B's runs range over A's loss there."""
    (low_a, high_a), (low_b, high_b) = _flops_range(a), _flops_range(b)
    C_M = np.geomspace(low_a, high_a, 400)
    loss_M = frontier(a, C_M, a.params_P[None])[0]
    ends_b = frontier(b, np.array([low_b, high_b]), b.params_P[None])[0]
    if not (np.isfinite(loss_M).all() and np.isfinite(ends_b).all()):
        raise UserError("one of the fits has no frontier: its law has no best size at its own budgets")
    inside = (loss_M <= ends_b[0]) & (loss_M >= ends_b[1])
    if not inside.any() or C_M[inside][-1] < SHORTEST * C_M[inside][0]:
        raise UserError(
            f"no loss that both reach: A comes from {loss_M[0]:.4g} to {loss_M[-1]:.4g} at {low_a:.3g} to "
            f"{high_a:.3g} FLOPs, B from {ends_b[0]:.4g} to {ends_b[1]:.4g} at {low_b:.3g} to {high_b:.3g}: "
            "add budgets to one of them"
        )
    return np.geomspace(C_M[inside][0], C_M[inside][-1], POINTS)


def _flops_range(fit: LawFit) -> tuple[float, float]:
    """The budgets that a frontier stands on, FLOPs: those of its minima, else the range of its runs."""
    known = [budget.flops for budget in fit.budgets or () if budget.n_opt is not None]
    return (min(known), max(known)) if known else fit.conventions.flops_range


def _method(fit: LawFit) -> str:
    return f"approach {fit.approach}" + (f", {fit.law}" if fit.law else "")
