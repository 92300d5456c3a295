"""Fits in words, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from analysis import LawFit

APPROACHES = {1: "approach 1 (envelope)", 2: "approach 2 (IsoFLOP parabolas)", 3: "approach 3"}


def number(value: float | None) -> str:
    """Four significant digits."""
    return "-" if value is None else f"{value:.4g}"


def span(interval: Any) -> str:
    """An interval as [low, high]; empty where there is none."""
    return "" if interval is None else f"[{number(interval[0])}, {number(interval[1])}]"


def fit_lines(fitted: LawFit) -> Iterator[str]:
    """The fit, its intervals, verdicts and conventions, a line each."""
    law = f", law {fitted.law}" if fitted.law else ""
    yield f"[bold]{APPROACHES[fitted.approach]}{law}: {fitted.n_runs} runs[/bold]"
    intervals = fitted.intervals
    yield from _values(fitted.params, intervals.params if intervals else {}, fitted.identified or {})
    yield from _values(fitted.exponents, intervals.exponents if intervals else {}, {})
    if intervals:
        yield f"  intervals   {intervals.level:.0%}, {intervals.method}, B = {intervals.B}"
    for budget in fitted.budgets or ():
        yield (
            f"  C {number(budget.flops)}: N_opt {number(budget.n_opt)}, D_opt {number(budget.d_opt)}, "
            f"loss {number(budget.loss_opt)}"
        )
    if fitted.certificate:
        c = fitted.certificate
        yield (
            f"  certificate {c.status.replace('_', ' ')}: gradient norm {number(c.gradient_norm)}, "
            f"{c.starts_at_optimum} of {c.starts} starts at the optimum"
        )
    yield from holdout_lines(fitted.holdout)
    for key in ("count", "flops"):
        yield f"  {key:<11} {fitted.conventions[key]}"


def holdout_lines(holdout: Mapping[str, Any] | None) -> Iterator[str]:
    """How the fit did on runs it had not seen."""
    if holdout is None:
        return
    yield f"  held out    {holdout['n_held_out']} runs from {number(holdout['c_min'])} FLOPs"
    yield f"    mean absolute error {number(holdout['mean_abs_error'])} nats, bias {number(holdout['bias'])}"
    best = holdout["optimum"]
    if best and best["error"] is not None:
        yield (
            f"    minimum at {number(best['flops'])} FLOPs: loss {number(best['loss_opt'])}, predicted "
            f"{number(best['loss_opt_predicted'])} {span(best['loss_opt_interval'])}, "
            f"error {best['error']:+.4f} nats"
        )


def _values(
    values: Mapping[str, float | None], intervals: Mapping[str, Any], identified: Mapping[str, bool]
) -> Iterator[str]:
    for name, value in values.items():
        doubt = "  [red]not identified[/red]" if identified.get(name) is False else ""
        yield f"  {name:<11} {number(value):<10} {span(intervals.get(name))}{doubt}"
