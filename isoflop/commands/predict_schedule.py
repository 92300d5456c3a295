"""isoflop predict --schedule"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import tyro

from isoflop import analysis
from isoflop.analysis.curves.forecast import forecast_schedules
from isoflop.arguments import JsonFlag, parse
from isoflop.commands.fit_curves import schedule_lines
from isoflop.printing import print_result


@dataclass(frozen=True)
class PredictSchedule:
    """The last loss of learning-rate schedules that were not run, by a law of loss curves."""

    fit: tyro.conf.Positional[str]
    """A curve-fit.json, a folder that holds one, or published constants by name: luo:100m."""
    schedule: Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
    """constant, cosine, linear, wsd, wsd-sqrt, wsd-exponential or best, as in wsd:decay=0.1,steps=24000 (also
    final, power, peak, warmup), or a table of step and lr; repeated for several."""
    as_json: JsonFlag = False


def run(argv: list[str]) -> int:
    """Prints the predictions; as JSON, the fit with its `schedules`."""
    arguments = parse(PredictSchedule, argv, "predict --schedule")
    fit = analysis.read_curve_fit(arguments.fit)
    schedules, doubts = forecast_schedules(fit, arguments.schedule)
    found = dataclasses.replace(fit, schedules=schedules, warnings=(*fit.warnings, *doubts))
    print_result(found, arguments.as_json, schedule_lines(schedules), soft_wrap=True)
    return 0
