"""Fits in words, for a terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.text import Text

from isoflop.analysis.rolling_scores import percent
from isoflop.base.formatting import brief, interval

if TYPE_CHECKING:
    from isoflop.analysis import LawFit
    from isoflop.analysis.constraints import Constraints, Sensitivity
    from isoflop.analysis.planning.predictive import Parts
    from isoflop.analysis.result import Certificate, Coverage, Estimate
    from isoflop.analysis.rolling_scores import Rolling
    from isoflop.analysis.scores import Competition, Contender, Holdout

APPROACHES = {1: "approach 1 (envelope)", 2: "approach 2 (IsoFLOP parabolas)", 3: "approach 3"}


def fit_lines(fitted: LawFit) -> Iterator[str | Text]:
    """The fit, its intervals, verdicts and conventions, a line each."""
    law = f", law {fitted.law}" if fitted.law else ""
    yield Text(f"{APPROACHES[fitted.approach]}{law}: {fitted.n_runs} runs", style="bold")
    yield from value_lines(fitted.parameter_estimates, fitted.constraints)
    yield from value_lines(_told(fitted.exponent_estimates))
    if intervals := fitted.intervals:
        yield f"  intervals   {intervals.level:.0%}, {intervals.method}, B = {intervals.B}"
    yield from _constraints(fitted.constraints)
    if fitted.objective and fitted.objective.overestimate_weight != 1:
        weight = brief(fitted.objective.overestimate_weight)
        yield from entry("objective", f"the runs' lower envelope: runs below the law weigh {weight} times")
    yield from _budgets(fitted)
    if fitted.certificate:
        yield from certificate_lines(fitted.certificate)
    if fitted.misfit:
        found = fitted.misfit
        evidence = "; ".join(filter(None, (found.verdict, found.set_aside)))
        yield from entry("misfit", f"{found.probability}: {evidence}")
    if fitted.noise:
        yield from entry("noise", fitted.noise.description)
    yield from _coverage(fitted.coverage)
    yield from holdout_lines(fitted.holdout, fitted.conventions.short_unit)
    yield from competition_lines(fitted.competition)
    yield from rolling_lines(fitted.rolling)
    yield from _next_runs(fitted)
    for key, meaning in (("N counts", "count_meaning"), ("C counts", "flops_meaning"), ("loss", "loss")):
        yield from entry(key, getattr(fitted.conventions, meaning))


def _constraints(constraints: Constraints | None) -> Iterator[str]:
    """What was shared, and how the forecast moves with what was fixed."""
    if constraints is None:
        return
    if constraints.shared:
        groups = ", ".join(f"{group.name} ({group.n_runs} runs)" for group in constraints.groups)
        yield from entry("shared", f"{', '.join(constraints.shared)} by {constraints.by}: {groups}")
    for moved in constraints.sensitivity:
        yield from entry("fixed", f"{moved.parameter} = {brief(moved.value)}{_moves(moved)}")


def _moves(moved: Sensitivity) -> str:
    """How the forecast moves with a fixed parameter, where there is one."""
    n_low, n, n_high = moved.n_opt
    low, loss, high = moved.loss
    if not math.isfinite(n):
        return ""
    of = f" of {moved.group}" if moved.group else ""
    step = "one standard error" if moved.step_is == "standard error" else moved.step_is
    shares = [f"{x / n - 1:+.1%}" if math.isfinite(x) else "n/a" for x in (n_low, n_high)]
    nats = [f"{x - loss:+.4f}" if math.isfinite(x) else "n/a" for x in (low, high)]
    return (
        f"; {brief(moved.step)} ({step}) less or more moves N_opt{of} at {brief(moved.flops)} FLOPs by "
        f"{' or '.join(shares)}, the loss by {' or '.join(nats)}"
    )


def entry(label: str, text: str) -> Iterator[str]:
    """A labelled entry in lines of a terminal of 80 columns."""
    yield from textwrap.wrap(
        f"  {label:<11} {text}",
        80,
        subsequent_indent=" " * 14,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _budgets(fitted: LawFit) -> Iterator[str]:
    """Each minimum; of approach 2 also where it lies among the sizes, and what its curve misses by."""
    if not fitted.budgets:
        return
    yield f"  {'C':<9} {'N_opt':<32} {'D_opt':<9} {'loss':<5}" + (
        f" {'centre':>6} {'range':>5} {'bias':>6}" if fitted.approach == 2 else ""
    )
    for b in fitted.budgets:
        place = f"{brief(b.n_opt)} {interval(b.n_interval)}"
        shape = (
            "" if b.centring is None else f"{b.centring:+.2f}",
            "" if b.half_width is None else f"x{math.exp(min(b.half_width, 50.0)):.3g}",
            "" if b.bias_percent is None else f"{b.bias_percent:+.1f}%",
        )
        yield (
            f"  {brief(b.flops):<9} {place:<32} {brief(b.d_opt):<9} {brief(b.loss_opt):<5} "
            f"{shape[0]:>6} {shape[1]:>5} {shape[2]:>6}"
        ).rstrip()
    if fitted.approach == 2:
        unit = fitted.conventions.short_unit
        yield from entry("centre", "the curve's, among the sizes: -1 the smallest, 1 the largest")
        yield from entry("range", f"the factor of N within which the loss rises by 0.01{unit}")
        yield from entry("bias", "what the curve makes of the fitted surface's minimum, in N")
        yield from entry("curve", fitted.conventions.curve or "parabola")


def certificate_lines(c: Certificate) -> Iterator[str]:
    others = f"; others: {c.other_starts}" if c.other_starts else ""
    yield from entry(
        "certificate",
        f"{c.verdict}: gradient norm {brief(c.gradient_norm)}, "
        f"{c.starts_at_optimum} of {c.starts} starts at the optimum{others}",
    )


def _coverage(coverage: Coverage | None) -> Iterator[str]:
    if coverage is None:
        return
    shares = {**coverage.params, **coverage.exponents, **coverage.derived}
    held = ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share is not None)
    made = f"{coverage.level:.0%} intervals in {coverage.simulations} simulations"
    yield from entry("coverage", f"of {made}: {held}")


def _next_runs(fitted: LawFit) -> Iterator[str]:
    for run in fitted.next_runs:
        gap = run["separates"]
        unit = fitted.conventions.short_unit
        why = "" if math.isnan(gap) else f": rival parameters differ by {brief(gap)}{unit} there"
        unique = f" ({brief(run['n_tokens_unique'])} distinct)" if "n_tokens_unique" in run else ""
        yield from entry("run next", f"N {brief(run['n_params'])}, D {brief(run['n_tokens'])}{unique}{why}")


def rolling_lines(rolling: Rolling | None) -> Iterator[str]:
    """Errors and coverage by distance, a table."""
    if rolling is None:
        return
    mixed = ", ".join(rolling.cuts[-1].laws)
    yield from entry(
        "rolling",
        f"fitted below {len(rolling.cuts)} cuts, scored on all above each; distance: compute over the "
        f"largest fitted; inside: of {rolling.level:.0%} predictive intervals, which mix {mixed}",
    )
    yield (
        f"    {'distance':<14} {'runs':>5} {'|error|':>8} {'half':>7} {'inside':>6}  {'minima':>6} "
        f"{'|error|':>8} {'loss in':>7} {'N in':>5}"
    )
    for band in (*rolling.bands, rolling.all):
        name = "all" if band is rolling.all else band.name
        yield (
            f"    {name:<14} {band.runs:>5} {_fixed(band.mean_abs_error):>8} {_fixed(band.half_width):>7} "
            f"{percent(band.coverage):>6}  {band.minima:>6} {_fixed(band.minimum_error):>8} "
            f"{percent(band.loss_coverage):>7} {percent(band.size_coverage):>5}"
        )
    for why in rolling.skipped:
        yield from entry("skipped", why)


def _fixed(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def parts_words(parts: Parts) -> str:
    """What a predictive interval is made of, half-widths in nats."""
    named = (("the run's noise", parts.noise), ("the fit", parts.fit), ("the law's form", parts.form))
    return "half-widths by cause: " + ", ".join(
        f"{name} {'not known' if half is None else brief(half)}" for name, half in named
    )


def competition_lines(competition: Competition | None) -> Iterator[str]:
    """Every law and baseline on the runs held out, a table."""
    if competition is None:
        return
    yield (
        f"  competition fitted to {competition.n_fit} runs below {brief(competition.c_min)} FLOPs, "
        f"scored on the {competition.n_held_out} above"
    )
    yield (
        f"    {'law':<17} {'free':>4} {'runs':>4} {'|error|':>8} {'bias':>8} {'worst':>8} {'minimum':>8} "
        f"{'excess':>8}"
    )
    for row in competition.rows:
        yield "    " + _rival(row)
        if remarks := _remarks(row):
            yield from textwrap.wrap(remarks, 80, initial_indent=" " * 6, subsequent_indent=" " * 6)
    leader = competition.best.replace("_", " ")
    notes = (
        f"errors ({competition.unit}): measured less predicted; "
        "minimum: of the least loss at the largest budget; excess: "
        f"of |error| over {leader}'s, with its range in {competition.level:.0%} of resamples of the "
        f"{competition.resampling} held out, the fits as they are; *: beyond chance"
    )
    for text in (notes, *(f"left out: {why}" for why in competition.left_out.values())):
        yield from textwrap.wrap(text, 80, initial_indent=" " * 4, subsequent_indent=" " * 4)


def _rival(row: Contender) -> str:
    """A contender in columns: size, errors, and what lies between it and the best."""
    best = row.optimum_error
    excess = f"{row.excess:+.4f}{'*' if row.beyond_chance else ' '}" if row.excess else ""
    return (
        f"{row.name.replace('_', ' '):<17} {row.parameters:>4} {row.n_scored:>4} "
        f"{row.mean_abs_error:>8.4f} {row.bias:>+8.4f} {row.worst:>+8.4f} "
        f"{'-' if best is None else f'{best:+.4f}':>8} {excess:>8}"
    ).rstrip()


def _remarks(row: Contender) -> str:
    """The excess's range and doubts about the fit."""
    low, high = row.interval
    remarks = [*([] if low is None else [f"excess {low:+.4f} to {high:+.4f}"]), *row.doubts]
    if row.scored_on == "envelope":
        remarks.append("envelope runs alone")
    return "; ".join(remarks)


def holdout_lines(holdout: Holdout | None, unit: str) -> Iterator[str]:
    """How the fit did on runs it had not seen; `unit`: after a difference of losses."""
    if holdout is None:
        return
    error, bias = brief(holdout.mean_abs_error), brief(holdout.bias)
    scored = f"; mean absolute error {error}{unit}, bias {bias}" if holdout.rows else ""
    runs = f"{holdout.n_held_out} runs from {brief(holdout.c_min)} FLOPs"
    yield from entry("held out", f"{runs}{scored}")
    best = holdout.optimum
    if best and best.error is not None:
        yield from entry(
            "",
            f"minimum at {brief(best.flops)} FLOPs: loss {brief(best.loss_opt)}, predicted "
            f"{brief(best.loss_opt_predicted)} {interval(best.loss_opt_interval)}, "
            f"error {best.error:+.4f}{unit}",
        )


def _told(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """The exponents that all groups have in common, or each group's own."""
    common = {name: found for name, found in estimates.items() if "[" not in name}
    alike = all(found.value is not None and math.isfinite(found.value) for found in common.values())
    if alike or len(common) == len(estimates):
        return common
    return {name: found for name, found in estimates.items() if name not in common}


def value_lines(estimates: Mapping[str, Estimate], constraints: Constraints | None = None) -> Iterator[Text]:
    fixed, tied = (constraints.fixed, constraints.tied) if constraints else ({}, {})
    width = max((13, *map(len, estimates)))
    for name, found in estimates.items():
        doubt = ("  not identified", "red") if found.identified is False else ""
        where = "fixed" if name in fixed else interval(found.interval)
        equal = f"  = {tied[name]}" if name in tied else ""
        yield Text.assemble(f"  {name:<{width}} {brief(found.value):<10} {where}{equal}", doubt)
