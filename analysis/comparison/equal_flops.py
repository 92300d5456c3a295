"""Two architectures at equal training FLOPs, by a law that has the architecture as an input.

At equal N a mixture of experts is set against a dense model of many times its FLOPs, and a model in few bits
against one of twice its price. Here each spends the same: N and D are the best that the budget buys at
its own FLOPs per token, and the compute multiplier is what the other would have to spend for the same loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from scipy.optimize import brentq

from isoflop.analysis.compute import allocate
from isoflop.analysis.inputs import as_fit, names_a_law
from isoflop.analysis.laws import Law, find_law
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.result import LawFit
from isoflop.analysis.uncertainty.intervals import Interval, span_with
from isoflop.base.display import Displayed, Summary
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief, interval
from isoflop.base.json_values import FloatOrNaN, Serializable

MOST_DRAWS = 200
"""Draws of a fit that an interval is made of."""
DECADES = 9
"""How far from the budget the other's budget of equal loss is sought."""
SIZES = (1.0, 1e18)
"""Parameters among which the size of a given price is sought."""


@dataclass(frozen=True)
class Spent:
    """What an architecture does with a budget."""

    name: str
    n: float
    """Parameters, as its law counts them."""
    flops_per_token: float
    """Over 6 they are the dense model of the same price."""
    d: float
    loss: float


@dataclass(frozen=True, repr=False)
class EqualFlops(Displayed, Serializable):
    """Two architectures at the same training FLOPs: `a`, and `b` that it is measured by."""

    flops: float
    a: Spent
    b: Spent
    multiplier: FloatOrNaN
    """FLOPs that `b` needs for the loss of `a`, over `flops`: above 1 where `a` is the better. NaN where `b`
    comes to that loss at none within a factor of a billion."""
    interval: Interval
    level: float | None
    """None without draws."""
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What to know of published constants."""

    @property
    def verdict(self) -> str:
        """Which is better, in a sentence."""
        if not np.isfinite(self.multiplier):
            return f"{self.b.name} comes to the loss of {self.a.name} at no budget within reach"
        span = interval(self.interval)
        needs = f"{self.b.name} needs {self.multiplier:.3g} times the FLOPs {span}".rstrip()
        return f"{needs} for the loss of {self.a.name}"

    def summary(self) -> Summary:
        """Both, and the multiplier."""
        rows = [
            (each.name, brief(each.n), brief(each.flops_per_token / 6), brief(each.d), brief(each.loss))
            for each in (self.a, self.b)
        ]
        headers = ("", "N", "FLOPs a token / 6", "D", "loss")
        title = f"at {brief(self.flops)} training FLOPs each:"
        return Summary(title, headers, rows, (self.verdict,))


@dataclass(frozen=True)
class Architecture:
    """A law's fit at values of its covariates, by symbol; the others have their defaults."""

    fit: LawFit
    given: Mapping[str, float]
    tokens: float | None = None
    """D where it is held; None: the best."""
    label: str = ""
    """What stands for the law's name: that of its published constants."""

    def __post_init__(self) -> None:
        """Raises `UserError` for a value that is of no covariate or cannot be, and for a law without a best D
        where none is held.
        """
        self.law.check_inputs(self.given)
        if self.tokens is None and not self.law.allocates:
            raise UserError(f"{self.law.name} has no best D for a budget: hold it, --tokens 1.3e11")

    @property
    def law(self) -> Law:
        """Raises `UserError` where no law was fitted."""
        if self.fit.law is None:
            raise UserError(f"approach {self.fit.approach} fits no surface L(N, D): use --approach 3")
        return find_law(self.fit.law)

    @property
    def name(self) -> str:
        """`krajewski at G = 8`."""
        at = ", ".join(f"{symbol} = {brief(value)}" for symbol, value in self.given.items())
        own = self.label or self.law.name
        return f"{own} at {at}" if at else own

    @property
    def params_BxP(self) -> np.ndarray:
        """The fit's parameters, and then its draws."""
        return np.vstack([self.fit.params_P, self.fit.draws_BxP[:MOST_DRAWS]])

    def cost(self, N: np.ndarray) -> np.ndarray:
        """Training FLOPs per token of N parameters: as the law's source counts them, else as the fit does."""
        N = np.asarray(N, dtype=float)
        if self.law.flops_per_token is None:
            return self.fit.cost(N)
        return np.asarray(self.law.flops_per_token(N, *self._covariates(N, N)), dtype=float)

    def size(self, params_P: np.ndarray, flops: float) -> float:
        """N for a budget; NaN where the law has no best one."""
        if self.tokens is None:
            return float(allocate(lambda N, D: self._losses(params_P, N, D), np.array([flops]), self.cost)[0])
        price = flops / self.tokens

        def excess(log_n: float) -> float:
            return float(np.log(self.cost(np.exp(log_n)) / price))

        low, high = map(float, np.log(SIZES))
        return float(np.exp(_root(excess, low, high))) if excess(low) < 0 < excess(high) else float("nan")

    def loss(self, params_P: np.ndarray, flops: float) -> float:
        """The least loss that a budget buys."""
        return self.spent(params_P, flops).loss

    def spent(self, params_P: np.ndarray, flops: float) -> Spent:
        """What the budget goes into."""
        N = np.array(self.size(params_P, flops))
        price = float(self.cost(N))
        D = np.array(flops / price)
        return Spent(self.name, float(N), price, float(D), float(self._losses(params_P, N, D)))

    def _losses(self, params_P: np.ndarray, N: np.ndarray, D: np.ndarray) -> np.ndarray:
        return evaluate(self.law, params_P, N, D, *self._covariates(N, D))

    def _covariates(self, N: np.ndarray, D: np.ndarray) -> list[np.ndarray]:
        defaults = self.law.fill(N, D, 6 * N * D)
        zero = 0.0 * N
        pairs = zip(self.law.covariates, defaults, strict=True)
        return [zero + self.given.get(covariate.symbol, default) for covariate, default in pairs]


def compare_at_equal_flops(
    a: str | Path | LawFit,
    flops: float,
    b: str | Path | LawFit | None = None,
    *,
    given: Mapping[str, float] | None = None,
    given_b: Mapping[str, float] | None = None,
    tokens: float | None = None,
) -> EqualFlops:
    """Two architectures that spend the same training FLOPs, each on its best N and D: their losses, and how
    many times the FLOPs `b` needs for the loss of `a`.

    Args:
        a, b: a `LawFit`, the path of a `fit.json`, or published constants by name; `b` is the law of `a`
            unless named.
        flops: the budget.
        given, given_b: values of a law's further inputs by symbol, `{"G": 8}`; the others have their
            defaults.
        tokens: D, held, for a law that has no best one.

    Raises:
        UserError: no such input, no fit, or no best size at that budget.

    >>> import isoflop
    >>> found = isoflop.compare_at_equal_flops("abnar", 1e21, given={"density": 0.1})
    >>> round(found.multiplier, 1)
    4.1
    """
    first = as_fit(a)
    second = first if b is None else as_fit(b)
    labels = [
        "" if isinstance(item, LawFit) or not names_a_law(str(item)) else str(item) for item in (a, b or a)
    ]
    pair = (
        Architecture(first, given or {}, tokens, labels[0]),
        Architecture(second, given_b or {}, tokens, labels[1]),
    )
    found = equal_flops(*pair, flops)
    if second is first and pair[0].given == pair[1].given:
        raise UserError(
            f"{pair[0].name} against itself: name another law, or values of its inputs with --with"
        )
    return found


def equal_flops(a: Architecture, b: Architecture, flops: float) -> EqualFlops:
    """Both at a budget of training FLOPs, and the multiplier of `b` against `a`.

    Raises `UserError` for a budget that is no positive number, and where either has no best size there.
    """
    if not (np.isfinite(flops) and flops > 0):
        raise UserError(f"--flops {flops}: give a positive number of FLOPs, such as 1e21")
    rows_a, rows_b = a.params_BxP, b.params_BxP
    spent = [each.spent(each.fit.params_P, flops) for each in (a, b)]
    for each in spent:
        if not np.isfinite(each.loss):
            raise UserError(f"{each.name} has no best size at {flops:.3g} FLOPs")
    if a.fit is not b.fit:
        # Two fits may come of one seed, whose redraws would go together as their tables' noise does not.
        rows_b[1:] = np.random.default_rng(5).permutation(rows_b[1:])
    # A published law has one row: all of the other's are set against it.
    draws = max(len(rows_a), len(rows_b))
    pairs = [(rows_a[k % len(rows_a)], rows_b[k % len(rows_b)]) for k in range(draws)]
    found = np.array([_multiplier(b, row_b, a.loss(row_a, flops), flops) for row_a, row_b in pairs])
    spans = [each.fit.intervals for each in (a, b) if each.fit.intervals is not None]
    level = spans[0].level if spans and draws > 1 else None
    return EqualFlops(
        flops=float(flops),
        a=spent[0],
        b=spent[1],
        multiplier=float(found[0]),
        interval=(None, None) if level is None else span_with(float(found[0]), found[1:], level),
        level=level,
        warnings=tuple(dict.fromkeys((*_unlike(a.fit, b.fit), *a.fit.warnings, *b.fit.warnings))),
        notes=tuple(dict.fromkeys((*a.fit.notes, *b.fit.notes))),
    )


def _unlike(a: LawFit, b: LawFit) -> tuple[str, ...]:
    """A warning where the two losses are not of one text in one unit."""
    texts = (a.conventions.data or "a text not named", b.conventions.data or "a text not named")
    if a is b or (texts[0] == texts[1] and a.conventions.loss_unit == b.conventions.loss_unit):
        return ()
    return (f"the losses may not compare: of {texts[0]} and of {texts[1]}",)


def _multiplier(b: Architecture, params_P: np.ndarray, loss: float, flops: float) -> float:
    """FLOPs at which `b` comes to the loss, over `flops`; NaN beyond reach."""

    def excess(log_factor: float) -> float:
        return b.loss(params_P, flops * float(np.exp(log_factor))) - loss

    step = float(np.log(10.0)) if excess(0.0) > 0 else -float(np.log(10.0))
    for k in range(1, DECADES + 1):
        beyond = excess(k * step)
        if not np.isfinite(beyond):
            break
        if beyond * step <= 0:  # the sign that was at 0 is gone
            return float(np.exp(_root(excess, (k - 1) * step, k * step, xtol=1e-10)))
    return float("nan")


def _root(f: Callable[[float], float], low: float, high: float, xtol: float = 2e-12) -> float:
    """Where f crosses zero between the two ends."""
    return cast(float, brentq(f, low, high, xtol=xtol))  # its stub has the full output, too
