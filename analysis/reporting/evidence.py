"""What speaks for a fit and against it, in words: its certificate, held-out runs, the other approaches, the
rounds of a sweep.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

from isoflop.analysis.columns.metrics import LOSS
from isoflop.analysis.reporting.rounds import Rounds, rounds_of
from isoflop.base.formatting import between, joined, number, power, short

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData
    from isoflop.analysis.result import Interval, LawFit


@dataclass(frozen=True)
class HeldOut:
    """How the runs that a fit had not seen came out against its predictions; errors in the loss's unit."""

    runs: int
    inside: int | None
    """Runs within their predictive intervals; None where there are no intervals."""
    level: float
    mean: float
    """Mean absolute error."""
    worst: float
    """Largest absolute error."""
    unit: str

    @property
    def outside(self) -> int | None:
        return None if self.inside is None else self.runs - self.inside

    @property
    def beyond_chance(self) -> bool:
        """Independent runs would lie outside so often with a probability of 1 - level at most."""
        if self.inside is None:
            return False
        return bool(binom.cdf(self.inside, self.runs, self.level) <= 1 - self.level + 1e-9)

    @property
    def errors(self) -> str:
        """Both errors in words."""
        return f"mean error {number(self.mean, 2)}{self.unit}, worst {number(self.worst, 2)}"

    @property
    def clause(self) -> str:
        """How many lie where: the bad count where chance doesn't explain it, else the good one."""
        runs = f"{self.runs} held-out run{'s' if self.runs > 1 else ''}"
        if self.inside is None:
            return f"{runs} have no predictive intervals ({self.errors})"
        many = self.runs > 1
        count, side = (self.outside, "outside") if self.beyond_chance else (self.inside, "within")
        own = f"their {self.level:.0%} intervals" if many else f"its {self.level:.0%} interval"
        return f"{count} of {runs} {'lie' if many else 'lies'} {side} {own} ({self.errors})"


def held_out(data: ReportData) -> HeldOut | None:
    """The evidence of the runs held out; None where none were."""
    rows = data.held.holdout.rows if data.held and data.held.holdout else ()
    if not rows:
        return None
    errors = np.abs([row.error for row in rows])
    known = [row.inside for row in rows if row.inside is not None]
    return HeldOut(
        runs=len(rows),
        inside=sum(known) if len(known) == len(rows) else None,
        level=data.options.level,
        mean=float(errors.mean()),
        worst=float(errors.max()),
        unit=data.table.conventions.short_unit,
    )


def doubts(data: ReportData) -> list[str]:
    """What speaks against the fit, a clause each: its misfit, then what `checks` found."""
    found = data.fit.misfit
    rejection = [found.rejection(data.fit.law or "")] if found and found.rejected else []
    return [*rejection, *checks(data)]


def checks(data: ReportData) -> list[str]:
    """What else speaks against the fit, which its own warnings can't say: held-out runs, the other
    approaches, the rounds of the sweep."""
    held = held_out(data)
    found = [held.clause] if held and held.beyond_chance else []
    return [*found, *filter(None, (_approaches_apart(data), _rounds_apart(data)))]


def _approaches_apart(data: ReportData) -> str:
    apart = [each for each in data.agreements if not each.agrees]
    if not apart:
        return ""
    others = joined([f"{number(each.exponent, 2)} by approach {each.approach}" for each in apart])
    return (
        f"the approaches differ on a by more than the runs' noise: {others}, "
        f"{number(data.fit.exponents['a'], 2)} by the fitted surface"
    )


def _rounds_apart(data: ReportData) -> str:
    rounds = rounds_of(data.sweep.summary)
    if rounds is None or rounds.target not in data.fit.exponents or rounds.estimate is None:
        return ""
    found = data.fit.exponent_estimates[rounds.target]
    value, span = found.value, found.interval
    if value is None or (_holds(span, rounds.estimate) and _holds(rounds.interval, value)):
        return ""
    return (
        f"the rounds of the sweep put {rounds.target} at {estimate_words(rounds)}, "
        f"the fitted surface at {number(value, 2)} {between(span, 2)}"
    )


def estimate_words(rounds: Rounds) -> str:
    """The rounds' last estimate with its interval."""
    return f"{number(rounds.estimate, 2)} {between(rounds.interval, 2)}"


def _holds(span: Interval | None, value: float) -> bool:
    """Whether an interval holds a value; an end that is open holds everything beyond."""
    low, high = span or (None, None)
    return (low is None or low <= value) and (high is None or value <= high)


def certificate(fit: LawFit) -> str:
    """What certifies the optimum, where it touches a bound, and what became of the other starts."""
    found = fit.certificate
    if found is None:
        return ""
    why = f" ({found.why})" if found.why else ""
    rest = f"; of the others {found.other_starts}" if found.other_starts else ""
    bounds = f" At a bound: {', '.join(found.bounds)}." if found.bounds else ""
    return (
        f"The optimum is {found.verdict}{why}: gradient norm {found.gradient_norm:.1e}, "
        f"{found.starts_at_optimum} of {found.starts} starts end there{rest}; condition number "
        f"{number(found.condition_number, 2)}.{bounds}"
    )


def misfit(fit: LawFit) -> str:
    """What the lack-of-fit test makes of the law; empty without one."""
    found = fit.misfit
    if found is None:
        return ""
    evidence = ", ".join(filter(None, (found.probability, found.set_aside)))
    return f"By the lack-of-fit test {found.verdict} ({evidence})."


def floor(data: ReportData) -> str:
    """The least loss that the data allow, where it is known, beside what the fit takes it to be."""
    known = (data.sweep.summary.get("dataset") or {}).get("floor")
    if known is None or "E" not in data.fit.params or data.fit.conventions.metric != LOSS:
        return ""
    return (
        f"No predictor can do better on this source than {number(known, 4)} nats per token; the fit's E is "
        f"{number(data.fit.params['E'], 4)}."
    )


def next_run_lines(fit: LawFit) -> list[str]:
    """The runs that would identify most, where something is not identified."""
    lines = []
    for run in fit.next_runs:
        words = f"{short(run['n_params'])} parameters on {short(run['n_tokens'])} tokens"
        if "n_tokens_unique" in run:
            words += f", {short(run['n_tokens_unique'])} of them distinct"
        gap = run["separates"]
        unit = fit.conventions.short_unit
        why = "" if math.isnan(gap) else f": parameters that now fit as well differ by {gap:.3f}{unit} there"
        lines.append(f"{words} ({power(run['flops'])} FLOPs){why}")
    return lines
