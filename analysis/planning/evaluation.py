"""What a law says at a point: of any law, also of those that allocate no budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from isoflop.analysis.laws import Law, find_law
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.planning.data_limit import COLUMN
from isoflop.analysis.planning.magnitude import Given, check_magnitudes, check_tokens
from isoflop.analysis.planning.prediction import extrapolation
from isoflop.analysis.planning.question import check_positive, interval_of, parameter_rows
from isoflop.analysis.result import LawFit
from isoflop.analysis.uncertainty.intervals import Interval
from isoflop.base.display import Displayed, Summary
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief, interval
from isoflop.base.json_values import Serializable

UNKNOWN = {"N": 1e9, "D": 1e9, "C": 6e18}
"""What stands for N, D or C where it is not given: a law that has it differs at three times as much."""
OPTIONS = {"N": "--n-params", "D": "--tokens", "C": "--flops"}


@dataclass(frozen=True, repr=False)
class LawValue(Displayed, Serializable):
    """What a law predicts at a point."""

    law: str
    target: str
    value: float
    level: float | None
    interval: Interval | None
    """None without draws."""
    unit: str | None
    inputs: dict[str, float]
    """What it was asked at, by symbol: what was given, what follows from it, defaults."""
    best_split: bool
    """Whether N and D are the best that the budget buys, and not given."""
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def summary(self) -> Summary:
        """The value, and where."""
        at = ", ".join(f"{symbol} {brief(value)}" for symbol, value in self.inputs.items())
        row = (self.target, brief(self.value), interval(self.interval), self.unit or "")
        best = ", the best N and D for C" if self.best_split else ""
        return Summary(f"{self.law} at {at}{best}:", (), [row], (*self.warnings, *self.notes))


@dataclass(frozen=True)
class _Point:
    """Where a law is asked: N, D and C, NaN for what neither is given nor follows, and `given` values of its
    covariates, by symbol.
    """

    N: float
    D: float
    C: float
    given: Mapping[str, float]
    best_split: bool = False

    def inputs(self, law: Law, unknown: Mapping[str, float]) -> list[np.ndarray]:
        """N, D and the law's covariates, with `unknown` in the place of N, D and C where they are NaN."""
        sizes = {"N": self.N, "D": self.D, "C": self.C}
        N, D, C = (np.array([unknown[s] if np.isnan(x) else x]) for s, x in sizes.items())
        extra = {c.symbol: x for c, x in zip(law.covariates, law.fill(N, D, C), strict=True)}
        return [N, D, *(extra | {symbol: np.array([x]) for symbol, x in self.given.items()}).values()]

    def shown(self, law: Law) -> dict[str, float]:
        """What is known of the point, by symbol."""
        nan = dict.fromkeys(OPTIONS, float("nan"))
        _, _, *extra = self.inputs(law, nan)
        rest = {c.symbol: float(x[0]) for c, x in zip(law.covariates, extra, strict=True)}
        found = {"N": self.N, "D": self.D, "C": self.C} | rest
        return {symbol: x for symbol, x in found.items() if np.isfinite(x)}


def evaluated(
    fit: LawFit, n_params: float | None, tokens: float | None, flops: float | None, given: Mapping[str, float]
) -> LawValue:
    """The law at N parameters, D tokens and C FLOPs, and at `given` values of its covariates, by symbol.

    C is 6 N D unless given, and D or N follows from C and the other; C alone stands for the best N and D that
    it buys, where the law has them. Raises `UserError` for a covariate that the law has not or a value that
    it cannot have, and where an input that it needs is missing.
    """
    law = find_law(fit.law or "")
    sizes: dict[Given, float | None] = {"n_params": n_params, "tokens": tokens, "flops": flops}
    _check(fit, law, {name: value for name, value in sizes.items() if value is not None}, given)
    point = _point(fit, law, n_params, tokens, flops, given)
    if lacking := _lacking(fit, law, point):
        raise UserError(f"{law.name}, {law.equation}: give {', '.join(lacking)}")
    value_B = evaluate(law, parameter_rows(fit), *point.inputs(law, UNKNOWN))[:, 0]
    inputs = point.shown(law)
    if not np.isfinite(value_B[0]):
        at = ", ".join(f"{symbol} {brief(value)}" for symbol, value in inputs.items())
        raise UserError(f"{law.name}, {law.equation}, gives no finite number at {at}")
    return LawValue(
        law=law.name,
        target=law.target,
        value=float(value_B[0]),
        level=None if fit.intervals is None else fit.intervals.level,
        interval=interval_of(fit, value_B),
        unit=fit.conventions.loss_unit,
        inputs=inputs,
        best_split=point.best_split,
        warnings=fit.warnings if np.isnan(point.C) else extrapolation(fit, point.C, force=True)[1],
        notes=fit.notes,
    )


def _check(fit: LawFit, law: Law, sizes: Mapping[Given, float], given: Mapping[str, float]) -> None:
    """Raises `UserError` for a quantity that cannot be, or that is in another unit by its magnitude."""
    check_positive(sizes)
    check_magnitudes(fit, sizes)
    law.check_inputs(given)
    for covariate in law.covariates:
        if covariate.column == COLUMN and covariate.symbol in given:
            check_tokens(fit, f"--with {covariate.symbol}", given[covariate.symbol])


def _lacking(fit: LawFit, law: Law, point: _Point) -> list[str]:
    """Options for what the law needs and the point has not: each of N, D and C that moves it."""
    found = []
    for symbol, x in (("N", point.N), ("D", point.D), ("C", point.C)):
        ends = [UNKNOWN, UNKNOWN | {symbol: 3 * UNKNOWN[symbol]}]
        low, high = (float(evaluate(law, fit.params_P, *point.inputs(law, each))[0]) for each in ends)
        if np.isnan(x) and low != high:
            found.append(OPTIONS[symbol])
    return found


def _point(
    fit: LawFit,
    law: Law,
    n_params: float | None,
    tokens: float | None,
    flops: float | None,
    given: Mapping[str, float],
) -> _Point:
    N, D, C = (np.nan if x is None else float(x) for x in (n_params, tokens, flops))
    if flops is not None and n_params is None and tokens is None and law.allocates:
        from isoflop.analysis.comparison.equal_flops import Architecture  # here: few questions need it

        spent = Architecture(fit, given).spent(fit.params_P, flops)
        if not np.isfinite(spent.loss):
            raise UserError(f"{law.name} has no best size at {flops:.3g} FLOPs and these inputs")
        return _Point(spent.n, spent.d, C, given, best_split=True)
    if given and law.flops_per_token is not None:
        extra = _Point(N, D, C, given).inputs(law, UNKNOWN)[2:]
        cost = float(np.ravel(law.flops_per_token(np.array([N]), *extra))[0])
    else:
        cost = float(fit.cost(np.array(N)))
    if np.isnan(D) and np.isfinite(C):
        D = C / cost
    if np.isnan(C):
        C = cost * D
    return _Point(N, D, C, given)
