"""Numbers as people read them, and the report's first sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isoflop.analysis.plots.style import power, short
from isoflop.analysis.result import Interval, LawFit

if TYPE_CHECKING:
    from isoflop.analysis.reporting.story import Story

NONE = "–"


def number(x: float | None, digits: int = 3) -> str:
    """Significant digits, trailing zeros kept: intervals line up. A dash for None and NaN."""
    if x is None or not math.isfinite(x):
        return NONE
    if x == 0:
        return "0"
    size = math.floor(math.log10(abs(x)))
    if -4 <= size < digits + 2:
        return f"{x:.{max(digits - 1 - size, 0)}f}".replace("-", "−")
    return f"{x:.{digits - 1}e}".replace("e+0", "e").replace("e+", "e").replace("-", "−")


def between(span: Interval | None, digits: int = 3) -> str:
    """`[low, high]`, or a dash."""
    if span is None or span[0] is None or span[1] is None:
        return NONE
    return f"[{number(span[0], digits)}, {number(span[1], digits)}]"


def opened(span: Interval | None, shown: Callable[[float], str]) -> str:
    """`[low, high]` with an end that nothing bounds as `open`; a dash for no interval at all."""
    if span is None or span == (None, None):
        return NONE
    low, high = ("open" if end is None else shown(end) for end in span)
    return f"[{low}, {high}]"


def percent(x: float, sign: bool = False) -> str:
    """One decimal and the sign of percent."""
    return f"{x:+.1f}%".replace("-", "−") if sign else f"{x:.2f}%"


def signed(x: float, digits: int = 4) -> str:
    """Fixed decimals with a sign."""
    return f"{x:+.{digits}f}".replace("-", "−")


FATES = {"bound": "at a bound", "local_optimum": "in a worse optimum", "unfinished": "unfinished"}


def floor(story: Story) -> str:
    """The least loss that the data allow, where it is known, beside what the fit takes it to be."""
    known = (story.sweep.summary.get("dataset") or {}).get("floor")
    if known is None or "E" not in story.fit.params:
        return ""
    return (
        f"No predictor can do better on this source than {number(known, 4)} nats a token; the fit's E is "
        f"{number(story.fit.params['E'], 4)}."
    )


def certificate(fit: LawFit) -> str:
    """What certifies the optimum, where it touches a bound, and what became of the other starts."""
    seal = fit.certificate
    if seal is None:
        return ""
    why = f" ({seal.why})" if seal.why else ""
    others = [f"{count} {FATES.get(key, key)}" for key, count in seal.others.items() if count]
    rest = f"; of the others {', '.join(others)}" if others else ""
    bounds = f" At a bound: {', '.join(seal.bounds)}." if seal.bounds else ""
    return (
        f"The optimum is {seal.status.replace('_', ' ')}{why}: gradient norm {seal.gradient_norm:.1e}, "
        f"{seal.starts_at_optimum} of {seal.starts} starts end there{rest}; condition number "
        f"{number(seal.condition_number, 2)}.{bounds}"
    )


def advice(fit: LawFit) -> list[str]:
    """The runs that would tell most, where something is not identified."""
    lines = []
    for run in fit.next_runs:
        what = f"{short(run['n_params'])} parameters on {short(run['n_tokens'])} tokens"
        if "n_tokens_unique" in run:
            what += f", {short(run['n_tokens_unique'])} of them distinct"
        gap = run["separates"]
        why = "" if gap is None else f": parameters that now fit as well differ by {gap:.3f} nats there"
        lines.append(f"{what} ({power(run['flops'])} FLOPs){why}")
    return lines


@dataclass(frozen=True)
class Card:
    """One of the numbers under the headline."""

    label: str
    value: str
    detail: str


def headline(story: Story) -> str:
    """The answer in a sentence, plain text with ^ for powers."""
    fit = story.fit
    if not fit.trusted:
        failed = [name for name, known in fit.identified.items() if not known]
        why = (
            "the optimum is not certified" if not failed else f"{', '.join(failed)} cannot be told from them"
        )
        return f"These {fit.n_runs} runs do not settle the law: {why}."
    a, b = fit.exponents["a"], fit.exponents["b"]
    answer = f"Compute-optimal size grows as C^{number(a, 2)} and data as C^{number(b, 2)}"
    best = (story.held.holdout or {}).get("optimum") if story.held else None
    if best and best["error"] is not None:
        missed = f"{abs(best['error']):.3f} nats"
        if _inside(best) is False:
            return f"{answer}; held out, the largest budget is missed by {missed}, outside its interval."
        return f"{answer}; the largest budget, held out, is predicted to within {missed}."
    return f"{answer}."


def subtitle(story: Story) -> str:
    """What it rests on."""
    low, high = story.fit.conventions["flops_range"]
    budgets = f" at {len(story.groups)} budgets" if story.groups else ""
    return (
        f"{story.fit.n_runs} runs{budgets}, {power(low)} to {power(high)} training FLOPs, "
        f"{short(story.table.N_R.min())} to {short(story.table.N_R.max())} parameters, "
        f"{short(story.table.D_R.min())} to {short(story.table.D_R.max())} tokens."
    )


def cards(story: Story) -> list[Card]:
    """The numbers to remember, each with what it stands on."""
    found = [
        _exponent(story.fit, "a", "Optimal size, N ∝ Cᵃ"),
        _exponent(story.fit, "b", "Optimal data, D ∝ Cᵇ"),
    ]
    best = (story.held.holdout or {}).get("optimum") if story.held else None
    if best and best["error"] is not None:
        low, high = best["loss_opt_interval"] or (None, None)
        if low is not None and high is not None:
            predicted = best["loss_opt_predicted"]
            detail = (
                f"measured {best['loss_opt']:.3f}, predicted {predicted:.3f}; 95% predictive interval "
                "of the error "
                f"{signed(low - predicted, 3)} to {signed(high - predicted, 3)}: "
                f"{'inside' if _inside(best) else 'outside'}"
            )
        else:
            detail = f"measured {best['loss_opt']:.3f}, predicted {best['loss_opt_predicted']:.3f}"
        found.append(Card("Held-out error at the largest budget", f"{signed(best['error'], 3)} nats", detail))
    if saved := _saving(story):
        found.append(saved)
    else:
        span = story.fit.intervals.params.get("E") if story.fit.intervals else None
        if "E" in story.fit.params:
            found.append(
                Card("Irreducible loss E", f"{number(story.fit.params['E'])} nats", f"95% {between(span)}")
            )
    return found


def _inside(best: dict) -> bool | None:
    low, high = best["loss_opt_interval"] or (None, None)
    return None if low is None or high is None else low <= best["loss_opt"] <= high


def _exponent(fit: LawFit, name: str, label: str) -> Card:
    span = fit.intervals.exponents.get(name) if fit.intervals else None
    level = "" if fit.intervals is None else f"{fit.intervals.level:.0%} "
    return Card(
        label, f"{name} = {number(fit.exponents[name], 2)}", f"{level}{between(span, 2)}, fitted surface"
    )


def _saving(story: Story) -> Card | None:
    flops = story.sweep.summary.get("flops") or {}
    grid, fresh = flops.get("grid"), flops.get("fresh_cosine")
    if not grid or not fresh:
        return None
    return Card(
        "Cost of the grid",
        f"{grid / fresh:.0%} of fresh runs",
        f"{power(grid)} FLOPs spent on the grid; each run fresh, cosine: {power(fresh)}",
    )
