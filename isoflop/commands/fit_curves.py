"""isoflop fit --curves"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.text import Text

from isoflop import analysis
from isoflop.analysis.curves.api import FILE
from isoflop.analysis.curves.options import CurveOptions
from isoflop.analysis.curves.result import CurveContender, CurveFit, ScheduleForecast
from isoflop.analysis.curves.scores import CurveScore
from isoflop.analysis.tables.selecting import parse_columns
from isoflop.arguments import Flag, JsonFlag, parse
from isoflop.base.formatting import brief, fixed, interval
from isoflop.commands.fit_text import certificate_lines, entry, value_lines
from isoflop.commands.jax_setup import set_up_jax
from isoflop.printing import print_result

NOT_TRUSTED = 3
Repeated = Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
"""An option of one value that may be given several times."""


@dataclass(frozen=True)
class FitCurves(CurveOptions):
    """Fits a law to whole loss curves under their learning-rate schedules: one trunk's curve counts."""

    paths: tyro.conf.Positional[tuple[str, ...]]
    """Curves: a table each (columns step, lr, loss), folders of them, a long table with a column run, a
    sweep's folder, public:multipower."""
    curves: Flag = False
    """Says that the paths are loss curves."""
    holdout: Repeated = field(default=(), kw_only=True)
    """Predict this curve and don't fit it; a name or a pattern, repeated for several."""
    select: Repeated = field(default=(), kw_only=True)
    """Only curves of this name or pattern, repeated for several: a law is of one model."""
    columns: str | None = None
    """Columns of other names: step=iteration,lr=optim/lr,loss=eval/loss,run=id"""
    warmup_steps: int | None = None
    """Steps over which the rate rose from zero, where the first row lies after them; None: up to that row."""
    schedule: Repeated = field(default=(), kw_only=True)
    """Predict the last loss of a schedule that was not run: constant, cosine, linear, wsd, wsd-sqrt,
    wsd-exponential or best, as in wsd:decay=0.1,final=0.01 (also power, steps, peak, warmup), or a table of
    step and lr; repeated for several."""
    compete: Flag = False
    """Fit every curve law, and score it on the held-out curves."""
    strict: Flag = False
    """Exit with status 3 where the fit is not certified or not identified."""
    as_json: JsonFlag = False
    out: Path | None = None
    """Also write curve-fit.json into this folder."""


def run(argv: list[str]) -> int:
    """Fits, prints, and marks a doubtful fit."""
    arguments = parse(FitCurves, argv, "fit --curves")
    set_up_jax()
    fitted = analysis.fit_curves(
        arguments.paths,
        CurveOptions(**{name: getattr(arguments, name) for name in CurveOptions.__dataclass_fields__}),
        columns=parse_columns(arguments.columns),
        select=arguments.select,
        warmup_steps=arguments.warmup_steps,
        schedules=arguments.schedule,
        compete=arguments.compete,
    )
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / FILE).write_text(json.dumps(fitted.to_json(), indent=1) + "\n")
    print_result(fitted, arguments.as_json, _lines(fitted), soft_wrap=True)
    return NOT_TRUSTED if arguments.strict and not fitted.trusted else 0


def _lines(fitted: CurveFit) -> Iterator[str | Text]:
    yield f"law {fitted.law}: {len(fitted.curves)} curves, {fitted.n_rows} rows"
    yield from value_lines(fitted.estimates)
    if found := fitted.intervals:
        yield from entry(
            "intervals",
            f"{found.level:.0%}, B = {found.B}, {found.resampling}: about {found.correlation_time:.0f} "
            "neighbouring rows tell as much as one",
        )
    if fitted.objective:
        yield from entry(
            "objective", f"{fitted.objective.value:.4g}, {fitted.objective.loss} of the log loss"
        )
    if fitted.certificate:
        yield from certificate_lines(fitted.certificate)
    yield from _scores("fitted", fitted.curves)
    yield from _scores("held out", fitted.holdout)
    yield from _contenders(fitted.competition)
    yield from schedule_lines(fitted.schedules)


def _scores(title: str, scores: tuple[CurveScore, ...]) -> Iterator[str]:
    if not scores:
        return
    width = max(len(title), *(len(each.name) for each in scores))
    yield f"  {title:<{width}}  {'R^2':>7} {'MAE':>7} {'worst':>8}   last loss, predicted"
    for each in scores:
        yield (
            f"  {each.name:<{width}}  {each.r_squared:>7.4f} {each.mean_abs_error:>7.4f} "
            f"{each.worst_error:>+8.4f}   {fixed(each.final_loss)} {fixed(each.final_predicted)} "
            f"{interval(each.final_interval, fixed)}"
        ).rstrip()


def _contenders(rows: tuple[CurveContender, ...]) -> Iterator[str]:
    if not rows:
        return
    yield f"  {'law':<12} {'MAE':>7} {'R^2':>7} {'worst':>8} {'last':>7}  MAE over the best's"
    for row in rows:
        doubts = f"; not identified: {', '.join(row.unidentified)}" if row.unidentified else ""
        yield (
            f"  {row.law:<12} {row.mean_abs_error:>7.4f} {fixed(row.r_squared):>7} {row.worst_error:>+8.4f} "
            f"{row.final_error:>7.4f}  {row.excess:+.4f} {interval(row.interval, fixed)}{doubts}"
        ).rstrip()


def schedule_lines(schedules: tuple[ScheduleForecast, ...]) -> Iterator[str]:
    """Each schedule's last loss, a line each."""
    if not schedules:
        return
    width = max(len("schedule"), *(len(each.schedule) for each in schedules))
    yield f"  {'schedule':<{width}}  {'steps':>7} {'peak':>8}   last loss, in the curves' unit"
    for each in schedules:
        yield (
            f"  {each.schedule:<{width}}  {each.steps:>7} {brief(each.peak):>8}   {fixed(each.loss)} "
            f"{interval(each.interval, fixed)}"
        ).rstrip()
