"""What a notebook calls: curves however they come, and options by keyword."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isoflop.analysis.curves import forecast
from isoflop.analysis.curves.data.curve import LossCurve
from isoflop.analysis.curves.data.reading import CurveReading, Readable, read_curves
from isoflop.analysis.curves.laws import names_a_curve_law
from isoflop.analysis.curves.options import CurveOptions
from isoflop.analysis.curves.published import published_curve_fit
from isoflop.analysis.curves.result import CurveFit, ScheduleForecast
from isoflop.analysis.inputs import names_a_law, options_of
from isoflop.base.errors import UserError

FILE = "curve-fit.json"
READING = ("columns", "select", "warmup_steps", "schedules", "compete")
"""Keywords of `fit_curves` that are no options of a fit."""


def load_curves(
    curves: Readable | Sequence[Readable],
    *,
    columns: Mapping[str, str] | None = None,
    select: str | Sequence[str] = (),
    warmup_steps: int | None = None,
) -> tuple[list[LossCurve], tuple[str, ...]]:
    """The loss curves of files, folders, sweeps, data frames and `public:multipower`, and notes on them.

    Args:
        curves: one or several of those; a table needs `step`, `lr` and `loss`, and a long one `run`.
        columns: `{new: old}` for columns of other names.
        select: patterns of the names to keep.
        warmup_steps: steps over which the rate rose from zero, where the first row lies after them.

    Raises:
        UserError: something cannot be read as loss curves, in one line.
    """
    sources = [curves] if isinstance(curves, Readable) else list(curves)
    patterns = (select,) if isinstance(select, str) else tuple(select)
    return read_curves(sources, CurveReading(columns, patterns, warmup_steps))


def fit_curves(
    curves: Readable | Sequence[Readable] | Sequence[LossCurve],
    options: CurveOptions | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    select: str | Sequence[str] = (),
    warmup_steps: int | None = None,
    schedules: Sequence[str] = (),
    compete: bool = False,
    **named: Any,
) -> CurveFit:
    """Fits a law to whole loss curves; by default the multi-power law of Luo et al. (2025).

    Args:
        curves: `LossCurve`s, or what `load_curves` takes, with `columns`, `select` and `warmup_steps`.
        options: a `CurveOptions`.
        schedules: schedules that were not run, whose last loss is predicted: `forecast_schedule`.
        compete: also fit every other law, and score it on the curves of `holdout`.
        named: fields of `CurveOptions`, in place of those of `options`.

    >>> import isoflop
    >>> isoflop.fit_curves("curves", law="tissue", bootstrap=0).certificate.status
    'certified'

    Raises:
        UserError: the curves cannot carry what is asked, or an option is wrong, in one line with the mend.
    """
    from isoflop.analysis.curves import competition  # JAX, which a prediction needs none of
    from isoflop.analysis.curves import fit as fitting

    chosen = options_of(CurveOptions, options, named, "fit_curves(curves, law=...)", READING)
    forecast.check_schedules(schedules)
    loaded, notes = _loaded(curves, columns, select, warmup_steps)
    found = fitting.fit_curves(loaded, chosen, notes)
    if compete:
        found = dataclasses.replace(found, competition=competition.compete_curves(loaded, chosen))
    told, doubts = forecast.forecast_schedules(found, schedules)
    return dataclasses.replace(found, schedules=told, warnings=(*found.warnings, *doubts))


def _loaded(curves: Any, columns: Any, select: Any, warmup_steps: Any) -> Any:
    several = not isinstance(curves, Readable)
    if several and len(curves) and all(isinstance(each, LossCurve) for each in curves):
        return list(curves), ()
    return load_curves(curves, columns=columns, select=select, warmup_steps=warmup_steps)


def forecast_schedule(fit: CurveFit | str | Path, schedule: str) -> ScheduleForecast:
    """The loss at the end of a schedule that was not run, by a fit, its file, or published constants.

    Args:
        fit: a `CurveFit`, the path of a `curve-fit.json` or its folder, or `luo:100m`.
        schedule: `constant`, `cosine`, `linear`, `wsd`, `wsd-sqrt`, `wsd-exponential` or `best`, with
            `:key=value,...` for `final` and `decay` (shares), `power`, `steps`, `peak`, `warmup`; or the path
            of a table of `step` and `lr`.

    >>> import isoflop
    >>> round(isoflop.forecast_schedule("luo:100m", "cosine:steps=24000").loss, 2)
    2.98
    """
    return forecast.forecast_schedule(read_curve_fit(fit), schedule)[0]


def read_curve_fit(fit: CurveFit | str | Path) -> CurveFit:
    """A fit as it is, the one in a file or folder, or a published one by its name.

    Raises `UserError` for what is none.
    """
    if isinstance(fit, CurveFit):
        return fit
    if not Path(fit).exists() and names_a_curve_law(str(fit)):
        return published_curve_fit(str(fit))
    if not Path(fit).exists() and names_a_law(str(fit)):
        raise UserError(
            f"{fit} is a law of runs, which knows no schedules: give one of loss curves, luo:100m"
        )
    path = Path(fit) / FILE if Path(fit).is_dir() else Path(fit)
    try:
        return CurveFit.from_json(json.loads(path.read_text()))
    except FileNotFoundError as error:
        raise UserError(f"no fit {path}: make one with isoflop fit --curves PATHS --out DIR") from error
    except (OSError, ValueError, UserError) as error:
        raise UserError(f"{path} is no fit to loss curves: isoflop fit --curves PATHS --out DIR") from error
