"""The loss at the end of a schedule that was not run, by a fitted curve law; and the best schedule by it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from isoflop.analysis.curves.data.rates import rates_of
from isoflop.analysis.curves.law import FittedRange
from isoflop.analysis.curves.result import CurveFit, ScheduleForecast
from isoflop.analysis.curves.schedules import ScheduleSpec, is_file, parse_schedule
from isoflop.analysis.tables.cells import as_floats
from isoflop.analysis.tables.reading import read_table
from isoflop.analysis.uncertainty.intervals import span
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief

BEST = "best"
USUAL_FINAL = 0.1
"""The last rate over the peak where no fitted curve's rate falls far."""
FALLS = 0.5
FAR, LOW, OTHER_PEAK = 1.5, 0.99, 0.02
"""Summed rate and lowest rate over the fitted, and relative change of the peak, that are warned of."""
SHORTEST, LONGEST = 0.02, 1.0
"""Shares of the steps that the best schedule's decay is sought among, and powers of what is left."""
POWERS = (0.3, 5.0)


def check_schedules(schedules: Sequence[str]) -> None:
    """Raises `UserError` for a schedule that cannot be read, before a fit is made for it."""
    for text in schedules:
        if is_file(text):
            _rates_of_file(text)
        else:
            _spec(FittedRange(1000, 1.0, 0, 1000.0, 1.0), text.replace(BEST, "wsd", 1))


def forecast_schedules(
    fit: CurveFit, schedules: Sequence[str]
) -> tuple[tuple[ScheduleForecast, ...], tuple[str, ...]]:
    """The loss at each schedule's end, with warnings: see `forecast_schedule`."""
    found = [forecast_schedule(fit, text) for text in schedules]
    return tuple(each for each, _ in found), tuple(dict.fromkeys(w for _, told in found for w in told))


def forecast_schedule(fit: CurveFit, schedule: str) -> tuple[ScheduleForecast, list[str]]:
    """The loss at the end of one schedule, with an interval of the fit's draws, and what is extrapolated.

    Steps, peak, warm-up and last rate are those of the longest fitted curve unless said. `best`: of all that
    stay at the peak and then decay as (1 - x)^power, the one of least loss. Or a table of `step` and `lr`.

    Raises `UserError` for a schedule that cannot be read.
    """
    covered = fit.fitted or FittedRange(0, 0.0, 0, float("nan"), 0.0)
    if is_file(schedule):
        name, rates_T, warmup = schedule, _rates_of_file(schedule), 0
    else:
        spec = (
            _best(fit, covered, schedule) if schedule.partition(":")[0] == BEST else _spec(covered, schedule)
        )
        name, rates_T, warmup = spec.text, spec.rates(), spec.warmup_steps
    draws_BxP = fit.draws()
    interval = (None, None)
    if draws_BxP is not None and fit.intervals:
        interval = span(fit.losses(draws_BxP, rates_T)[:, 0], fit.intervals.level)
    found = ScheduleForecast(
        schedule=name,
        steps=len(rates_T),
        peak=float(rates_T.max()),
        warmup_steps=warmup,
        loss=float(fit.predict(rates_T)[0]),
        interval=interval,
        reach=float(rates_T.sum() / covered.area),
    )
    return found, _beyond(found, rates_T, covered)


def _spec(covered: FittedRange, text: str) -> ScheduleSpec:
    fell = covered.peak > 0 and covered.lowest_rate < FALLS * covered.peak
    # To six digits: it is printed, as a person would give it.
    final = float(f"{covered.lowest_rate / covered.peak:.6g}") if fell else USUAL_FINAL
    return parse_schedule(text, covered.steps, covered.peak, covered.warmup_steps, final)


def _best(fit: CurveFit, covered: FittedRange, text: str) -> ScheduleSpec:
    """The stable schedule with the decay of least loss: its share of the steps, and its power."""
    plain = _spec(covered, text.replace(BEST, "wsd", 1))

    def spec(x: np.ndarray) -> ScheduleSpec:
        decay = float(np.clip(x[0], SHORTEST, LONGEST))
        power = float(np.exp(np.clip(x[1], *np.log(POWERS))))
        return ScheduleSpec("wsd", plain.steps, plain.peak, plain.warmup_steps, plain.final, decay, power)

    def loss(x: np.ndarray) -> float:
        return float(fit.predict(spec(x).rates())[0])

    grid = [np.array([decay, np.log(power)]) for decay in (0.1, 0.2, 0.4, 0.8) for power in (0.6, 1.0, 2.0)]
    begin = min(grid, key=loss)
    options = {"xatol": 1e-2, "fatol": 1e-6, "maxfev": 150, "initial_simplex": begin + 0.1 * np.eye(3, 2)}
    found = spec(np.asarray(minimize(loss, begin, method="Nelder-Mead", options=options).x))
    return ScheduleSpec(
        "wsd",
        plain.steps,
        plain.peak,
        plain.warmup_steps,
        plain.final,
        round(found.decay, 2),
        round(found.power, 2),
    )


def _rates_of_file(path: str) -> np.ndarray:
    frame = _table(path)
    step, rate = as_floats(frame, "step"), as_floats(frame, "lr")
    fine = (
        np.isfinite(step).all()
        and (np.diff(step) > 0).all()
        and np.isfinite(rate).all()
        and (rate >= 0).all()
    )
    if not fine or not (rate > 0).any() or not (step == np.rint(step)).all() or step[0] < 0:
        raise UserError(f"{path}: a schedule has ascending whole steps, and a rate from 0 up in every row")
    rates_T, _ = rates_of(step.astype(int), rate, int(step[-1]), None, path)
    return rates_T


def _table(path: str) -> pd.DataFrame:
    """The rows of a schedule's file. Raises `UserError` where it lacks `step` or `lr`."""
    if not Path(path).is_file():
        raise UserError(f"no schedule at {path}: the file does not exist")
    frame = read_table(Path(path))
    if missing := {"step", "lr"} - set(frame.columns):
        raise UserError(f"{path} lacks {', '.join(sorted(missing))}: a schedule is a table of step and lr")
    return frame


def _beyond(found: ScheduleForecast, rates_T: np.ndarray, covered: FittedRange) -> list[str]:
    doubts = []
    lowest = float(rates_T[int(np.argmax(rates_T)) :].min())
    if found.reach > FAR:
        doubts.append(
            f"{found.schedule}: its summed rate is {found.reach:.1f} times the largest that was fitted"
        )
    if lowest < LOW * covered.lowest_rate:
        doubts.append(
            f"{found.schedule}: its rate falls to {brief(lowest)}, and no fitted curve's below "
            f"{brief(covered.lowest_rate)}"
        )
    if covered.peak and abs(found.peak / covered.peak - 1) > OTHER_PEAK:
        doubts.append(
            f"{found.schedule}: its peak is {brief(found.peak)}, the fitted curves' {brief(covered.peak)}"
        )
    return doubts
