"""What a table of runs says about scaling: load it, fit it, judge the fit, predict, draw.

Serves anyone who has runs, from any trainer. Importing it changes no global JAX setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isoflop.analysis.comparing import Comparison, compare
from isoflop.analysis.fitting.competition import Competition, compete
from isoflop.analysis.fitting.coverage import check_coverage
from isoflop.analysis.fitting.fit import fit
from isoflop.analysis.laws import Law, find_law, known_laws
from isoflop.analysis.options import FitOptions
from isoflop.analysis.predicting import Prediction, predict
from isoflop.analysis.result import LawFit
from isoflop.analysis.runs import RunTable, load_runs, table_of
from isoflop.base.errors import UserError

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report import Report, report

__all__ = [
    "Comparison",
    "Competition",
    "FitOptions",
    "Law",
    "LawFit",
    "Prediction",
    "Report",
    "RunTable",
    "UserError",
    "check_coverage",
    "compare",
    "compete",
    "find_law",
    "fit",
    "known_laws",
    "load_runs",
    "predict",
    "report",
    "table_of",
]


def __getattr__(name: str) -> Any:
    """`report` and `Report` on first use: drawing needs matplotlib and plotly, fitting doesn't."""
    if name in ("report", "Report"):
        from isoflop.analysis.reporting import report as module

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
