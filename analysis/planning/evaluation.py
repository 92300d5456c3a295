"""What a law says at a point: of any law, also of those that allocate no budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from isoflop.analysis.laws import Law, find_law
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.planning.prediction import NO_TABLE
from isoflop.analysis.planning.question import interval_of, parameter_rows
from isoflop.analysis.result import LawFit
from isoflop.analysis.uncertainty.intervals import Interval
from isoflop.base.display import Displayed, Summary
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief, interval
from isoflop.base.json_values import Serializable

UNKNOWN = (1e9, 3e9)
"""What stands for an input that is not given: a law that has it differs between the two."""


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
    """What it was asked at, by symbol."""
    warnings: tuple[str, ...]

    def summary(self) -> Summary:
        """The value, and where."""
        at = ", ".join(f"{symbol} {brief(value)}" for symbol, value in self.inputs.items())
        row = (self.target, brief(self.value), interval(self.interval), self.unit or "")
        return Summary(f"{self.law} at {at}:", (), [row], self.warnings)


def evaluated(
    fit: LawFit, n_params: float | None, tokens: float | None, flops: float | None, given: Mapping[str, float]
) -> LawValue:
    """The law at N parameters, D tokens and C FLOPs, and at `given` values of its covariates, by symbol.

    C is 6 N D unless given, and D or N follows from C and the other. Raises `UserError` for a covariate that
    the law has not, and where an input that it needs is missing.
    """
    law = find_law(fit.law or "")
    _refuse_unknown(law, given)
    N, D, C = _point(fit, law, n_params, tokens, flops, given)
    value_B, other_B = (_values(fit, law, N, D, C, given, unknown) for unknown in UNKNOWN)
    if not np.isfinite(value_B[0]) or value_B[0] != other_B[0]:
        raise UserError(_missing(law, N, D, C, given))
    level = None if fit.intervals is None else fit.intervals.level
    inputs = {"N": N, "D": D, "C": C} | dict(given)
    return LawValue(
        law=law.name,
        target=law.target,
        value=float(value_B[0]),
        level=level,
        interval=interval_of(fit, value_B),
        unit=fit.conventions.loss_unit,
        inputs={symbol: float(x) for symbol, x in inputs.items() if np.isfinite(x)},
        warnings=(*fit.warnings, NO_TABLE) if fit.is_published else (),
    )


def _values(
    fit: LawFit, law: Law, N: float, D: float, C: float, given: Mapping[str, float], unknown: float
) -> np.ndarray:
    """The law under the fit and each of its draws, with `unknown` for each of N, D and C that is NaN."""
    point = [np.array([unknown if np.isnan(x) else x]) for x in (N, D, C)]
    defaults = zip(law.covariates, law.fill(point[0], point[1], point[2]), strict=True)
    extra = [np.array([given[c.symbol]]) if c.symbol in given else default for c, default in defaults]
    return evaluate(law, parameter_rows(fit), *point[:2], *extra)[:, 0]


def _point(
    fit: LawFit,
    law: Law,
    n_params: float | None,
    tokens: float | None,
    flops: float | None,
    given: Mapping[str, float],
) -> tuple[float, float, float]:
    """N, D and C; NaN for what neither is given nor follows."""
    N, D, C = (np.nan if x is None else float(x) for x in (n_params, tokens, flops))
    if given and law.flops_per_token is not None:
        defaults = law.fill(np.array(N), np.array(D), np.array(C))
        extra = [given.get(c.symbol, x) for c, x in zip(law.covariates, defaults, strict=True)]
        cost = float(law.flops_per_token(np.array(N), *extra))
    else:
        cost = float(fit.cost(np.array(N)))
    if np.isnan(D) and np.isfinite(C):
        D = C / cost
    if np.isnan(C):
        C = cost * D
    return N, D, C


def _refuse_unknown(law: Law, given: Mapping[str, float]) -> None:
    known = [covariate.symbol for covariate in law.covariates]
    for symbol in given:
        if symbol not in known:
            has = f"it has {', '.join(known)}" if known else "it has none besides N and D"
            raise UserError(f"--with {symbol}: {law.name} has no such input; {has}")


def _missing(law: Law, N: float, D: float, C: float, given: Mapping[str, float]) -> str:
    named = {"--n-params": N, "--tokens": D, "--flops": C}
    lacking = [option for option, value in named.items() if not np.isfinite(value)]
    others = (c.symbol for c in law.covariates if c.column != "flops")
    lacking += [f"--with {symbol}=VALUE" for symbol in others if symbol not in given]
    asked = f" give {', '.join(lacking)}, or those of them that its formula has" if lacking else ""
    return f"{law.name}, {law.equation}, has no value there:{asked or ' no finite number'}"
