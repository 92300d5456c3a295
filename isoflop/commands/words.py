"""Fits in words, for a terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from isoflop.base.display import number, span

if TYPE_CHECKING:
    from isoflop.analysis import LawFit
    from isoflop.analysis.result import Certificate, Misfit

APPROACHES = {1: "approach 1 (envelope)", 2: "approach 2 (IsoFLOP parabolas)", 3: "approach 3"}


FATES = {"bound": "at a bound", "local_optimum": "in a worse optimum", "unfinished": "unfinished"}
"""What became of starts that missed the optimum."""


def wrapped(text: str) -> str:
    """A paragraph for a terminal of 80 columns; a path or a number is never broken."""
    return textwrap.fill(text, 80, break_long_words=False, break_on_hyphens=False)


def fit_lines(fitted: LawFit) -> Iterator[str]:
    """The fit, its intervals, verdicts and conventions, a line each."""
    law = f", law {fitted.law}" if fitted.law else ""
    yield f"[bold]{APPROACHES[fitted.approach]}{law}: {fitted.n_runs} runs[/bold]"
    intervals = fitted.intervals
    yield from _values(fitted.params, intervals.params if intervals else {}, fitted.identified or {})
    yield from _values(fitted.exponents, intervals.exponents if intervals else {}, fitted.identified or {})
    if intervals:
        yield f"  intervals   {intervals.level:.0%}, {intervals.method}, B = {intervals.B}"
    yield from _budgets(fitted)
    if fitted.certificate:
        yield from _certificate(fitted.certificate)
    if fitted.misfit:
        yield _misfit(fitted.misfit)
    yield from _coverage(fitted.coverage)
    yield from holdout_lines(fitted.holdout)
    yield from competition_lines(fitted.competition)
    yield from _next_runs(fitted)
    for key, meaning in (("N counts", "count_meaning"), ("C counts", "flops_meaning"), ("loss", "loss")):
        yield f"  {key:<11} {fitted.conventions[meaning]}"


def _budgets(fitted: LawFit) -> Iterator[str]:
    """Each minimum; of approach 2 also where it lies among the sizes, and what its curve misses by."""
    for b in fitted.budgets or ():
        interval = f" {span(b.n_interval)}" if span(b.n_interval) else ""
        shape = [] if b.centring is None else [f"centring {b.centring:+.2f}"]
        if b.half_width is not None:
            shape.append(f"0.01 nats within a factor {math.exp(min(b.half_width, 50.0)):.3g} of N")
        if b.bias_percent is not None:
            shape.append(f"bias {b.bias_percent:+.1f}%")
        yield (
            f"  C {number(b.flops)}: N_opt {number(b.n_opt)}{interval}, D_opt {number(b.d_opt)}, "
            f"loss {number(b.loss_opt)}{'; ' if shape else ''}{', '.join(shape)}"
        )
    if fitted.approach == 2:
        yield f"  curve       {fitted.conventions['curve']}"


def _certificate(c: Certificate) -> Iterator[str]:
    others = ", ".join(f"{count} {FATES.get(key, key)}" for key, count in c.others.items() if count)
    yield (
        f"  certificate {c.status.replace('_', ' ')}: gradient norm {number(c.gradient_norm)}, "
        f"{c.starts_at_optimum} of {c.starts} starts at the optimum{'; others: ' if others else ''}{others}"
    )


def _misfit(m: Misfit) -> str:
    from isoflop.analysis.result import probability

    verdict = "the law misses the runs beyond chance" if m.rejected else "no more than chance"
    aside = f"; {m.outliers} outliers set aside" if m.outliers else ""
    return f"  misfit      {probability(m.p_value)}: {verdict}{aside}"


def _coverage(coverage: Mapping[str, Any] | None) -> Iterator[str]:
    if coverage is None:
        return
    shares = {**coverage["params"], **coverage["exponents"], **coverage["derived"]}
    held = ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share is not None)
    made = f"{coverage['level']:.0%} intervals in {coverage['simulations']} simulations"
    yield f"  coverage    of {made}: {held}"


def _next_runs(fitted: LawFit) -> Iterator[str]:
    for run in fitted.next_runs:
        gap = run["separates"]
        why = "" if gap is None else f": rival parameters differ by {number(gap)} nats there"
        unique = f" ({number(run['n_tokens_unique'])} distinct)" if "n_tokens_unique" in run else ""
        yield f"  run next    N {number(run['n_params'])}, D {number(run['n_tokens'])}{unique}{why}"


def competition_lines(competition: Mapping[str, Any] | None) -> Iterator[str]:
    """Every law and baseline on the runs held out, a table."""
    if competition is None:
        return
    yield (
        f"  competition fitted to {competition['n_fit']} runs below {number(competition['c_min'])} FLOPs, "
        f"scored on the {competition['n_held_out']} above; nats, measured less predicted"
    )
    yield (
        f"    {'law':<17} {'free':>4} {'runs':>4} {'|error|':>8} {'bias':>8} {'worst':>8} {'minimum':>8}  "
        f"{'over ' + competition['best']:<29} fit"
    )
    for row in competition["rows"]:
        yield "    " + _rival(row)
    level, how = f"{competition['level']:.0%}", competition["resampling"]
    yield f"    minimum: of the least loss at the largest budget; in brackets {level} of resamples of the"
    yield f"    {how} held out, the fits as they are; *: beyond chance"
    for why in competition["left_out"].values():
        yield f"    left out: {why}"


def _rival(row: Mapping[str, Any]) -> str:
    """A contender in columns: size, errors, what lies between it and the best, doubts about the fit."""
    best = row["optimum_error"]
    low, high = row["interval"]
    excess = f"{row['excess']:+.4f}" if row["excess"] else ""
    if low is not None:
        excess += f" ({low:+.4f} to {high:+.4f}){'*' if row['beyond_chance'] else ''}"
    doubts = [] if row["certificate"] in (None, "certified") else ["not certified"]
    if row["bounds"]:
        doubts.append(f"at a bound: {', '.join(row['bounds'])}")
    if row["unidentified"]:
        doubts.append(f"not identified: {', '.join(row['unidentified'])}")
    if row["scored_on"] == "envelope":
        doubts.append("envelope runs alone")
    return (
        f"{row['name'].replace('_', ' '):<17} {row['parameters']:>4} {row['n_scored']:>4} "
        f"{row['mean_abs_error']:>8.4f} {row['bias']:>+8.4f} {row['worst']:>+8.4f} "
        f"{'-' if best is None else f'{best:+.4f}':>8}  {excess:<29} {'; '.join(doubts)}"
    ).rstrip()


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
