"""Numbers as people read them, and sentences of the report about the fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from isoflop.analysis.figures.style import power, short
from isoflop.analysis.result import Interval, LawFit, probability

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData

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
    return f"{x:.{digits - 1}e}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-").replace("-", "−")


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


def joined(parts: Sequence[str]) -> str:
    """`one, two and three`."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""


def upper(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def percent(x: float, sign: bool = False) -> str:
    """One decimal and the sign of percent."""
    return f"{x:+.1f}%".replace("-", "−") if sign else f"{x:.2f}%"


def signed(x: float, digits: int = 4) -> str:
    """Fixed decimals with a sign."""
    return f"{x:+.{digits}f}".replace("-", "−")


FATES = {"bound": "at a bound", "local_optimum": "in a worse optimum", "unfinished": "unfinished"}


def floor(story: ReportData) -> str:
    """The least loss that the data allow, where it is known, beside what the fit takes it to be."""
    known = (story.sweep.summary.get("dataset") or {}).get("floor")
    if known is None or "E" not in story.fit.params:
        return ""
    return (
        f"No predictor can do better on this source than {number(known, 4)} nats per token; the fit's E is "
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


def misfit(fit: LawFit) -> str:
    """What the lack-of-fit test makes of the law; empty without one."""
    found = fit.misfit
    if found is None:
        return ""
    verdict = "misses the runs beyond chance" if found.rejected else "misses the runs by no more than chance"
    aside = (
        f", {found.outliers} outlier{'s' if found.outliers > 1 else ''} set aside" if found.outliers else ""
    )
    return f"By the lack-of-fit test the law {verdict} ({probability(found.p_value)}{aside})."


def advice(fit: LawFit) -> list[str]:
    """The runs that would tell most, where something is not identified."""
    lines = []
    for run in fit.next_runs:
        what = f"{short(run['n_params'])} parameters on {short(run['n_tokens'])} tokens"
        if "n_tokens_unique" in run:
            what += f", {short(run['n_tokens_unique'])} of them distinct"
        gap = run["separates"]
        why = "" if math.isnan(gap) else f": parameters that now fit as well differ by {gap:.3f} nats there"
        lines.append(f"{what} ({power(run['flops'])} FLOPs){why}")
    return lines
