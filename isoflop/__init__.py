"""Small-scale scaling laws: the names a notebook imports. The command line is `isoflop --help`.

import isoflop
isoflop.sweep("cpu-demo")
isoflop.fit(isoflop.load_runs("outputs/cpu-demo")).exponents
"""

from analysis import FitOptions, LawFit, RunTable, UserError, compare, fit, load_runs, predict
from isoflop.running import plan, prepare, report, sweep

__all__ = [
    "FitOptions",
    "LawFit",
    "RunTable",
    "UserError",
    "compare",
    "fit",
    "load_runs",
    "plan",
    "predict",
    "prepare",
    "report",
    "sweep",
]
