"""The rounds of an adaptive sweep: its target, what each round found, and the target by other methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isoflop.analysis.design.estimate import METHOD
from isoflop.analysis.planning.prediction import predict
from isoflop.analysis.reporting.tables import Cell, TextTable, flops
from isoflop.base.errors import UserError
from isoflop.base.formatting import NONE, between, number, upper

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData
    from isoflop.analysis.result import Interval, LawFit


@dataclass(frozen=True)
class Rounds:
    """What an adaptive sweep was after and where it ended; `target` as `isoflop sweep --target` takes it."""

    target: str
    half_width: float | None
    """The interval's at which to stop; None where the folder does not say."""
    level: float | None
    """The level of the intervals below: higher than the level at the stop, since every round looks."""
    law: str
    rounds: tuple[Mapping[str, Any], ...]

    @property
    def estimate(self) -> float | None:
        return self.rounds[-1]["estimate"]

    @property
    def interval(self) -> Interval | None:
        span = self.rounds[-1]["interval"]
        return None if span is None else (span[0], span[1])

    @property
    def why(self) -> str:
        """Why it stopped."""
        return self.rounds[-1]["why"]

    @property
    def warnings(self) -> tuple[str, ...]:
        """The last round's: those before it rest on fewer runs."""
        return tuple(self.rounds[-1]["warnings"])


def rounds_of(summary: Mapping[str, Any]) -> Rounds | None:
    """The rounds in a sweep's `summary.json`; None for a sweep that had none."""
    if not summary.get("rounds"):
        return None
    asked = summary.get("adaptive") or {}
    return Rounds(
        target=asked.get("target", ""),
        half_width=asked.get("half_width"),
        level=asked.get("level_at_a_look"),
        law=asked.get("law", "chinchilla"),
        rounds=tuple(summary["rounds"]),
    )


def rounds_table(data: ReportData) -> TextTable:
    """What was known after each round and what it decided."""
    found = rounds_of(data.sweep.summary)
    headers = ("round", "estimate", "interval", "half-width", "FLOPs", "new cells", "misfit p", "why")
    rows = tuple(_round(k, each) for k, each in enumerate(found.rounds if found else (), start=1))
    return TextTable("Rounds of the adaptive sweep", _caption(found) if found else "", headers, rows)


def _round(place: int, found: Mapping[str, Any]) -> tuple[Cell, ...]:
    span = found["interval"]
    return (
        str(place), number(found["estimate"]), between(None if span is None else (span[0], span[1])),
        number(found["half_width"], 2), flops(found["flops"]), str(len(found["cells"])),
        number(found["misfit"], 2), found["why"],
    )  # fmt: skip


def _caption(found: Rounds) -> str:
    wanted = "" if found.half_width is None else f", to a half-width of {found.half_width:g}"
    target = f"Target: {found.target}{wanted}. " if found.target else ""
    level = "" if found.level is None else f" at {100 * found.level:.4g}%"
    warned = "".join(f" {upper(line)}." for line in found.warnings)
    return (
        f"{target}After each round the law {found.law} was fitted to all runs so far by {METHOD}; intervals"
        f"{level}. FLOPs: of all cells chosen before. New cells: chosen after the round. Misfit p: the "
        f"probability of a misfit as large if the law is right. It stopped because: {found.why}.{warned}"
    )


def methods_table(data: ReportData) -> TextTable:
    """The target by the rounds' own fit and by each approach, side by side."""
    found = rounds_of(data.sweep.summary)
    headers = ("method", "estimate", "interval", "level")
    if found is None or not found.target:
        return TextTable("The target by method", "", headers, ())
    level = NONE if found.level is None else f"{100 * found.level:.4g}%"
    rows = [(f"the rounds: {METHOD}", number(found.estimate), between(found.interval), level)]
    for variant in data.approaches:
        if variant.fit is not None:
            value, span = target_of(variant.fit, found.target)
            rows.append((variant.name, number(value), between(span), f"{data.options.level:.0%}"))
    caption = f"{found.target} as the sweep's rounds found it and as this report's fits of all runs do."
    return TextTable("The target by method", caption, headers, tuple(rows))


def target_of(fit: LawFit, target: str) -> tuple[float | None, Interval | None]:
    """A target (`a`, `b`, `n_opt@FLOPS`, `loss@FLOPS`) and its interval by a fit; None where it has none."""
    name, _, budget = target.partition("@")
    if not budget:
        estimate = fit.exponent_estimates.get(name)
        return (estimate.value, estimate.interval) if estimate else (None, None)
    try:
        found = predict(fit, float(budget), force=True)
    except UserError:
        return None, None
    return (found.n_opt, found.n_interval) if name == "n_opt" else (found.loss, found.loss_interval)
