"""Figures of a report: one module a figure, each drawn twice, by matplotlib for print and by plotly for
the page.

A figure's module has `TITLE`, `caption(story)`, `static(story, new)` and `interactive(story)`; the last two
return None where the story has nothing for it to show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

import plotly.graph_objects as go
from matplotlib.figure import Figure

from isoflop.analysis.figures import (
    allocation,
    competition,
    curves,
    heldout,
    isoflop,
    profiles,
    residuals,
    surface,
    tuning,
)

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData

__all__ = ["FIGURES", "FigureModule"]


class FigureModule(Protocol):
    """What a figure's module offers."""

    TITLE: str
    caption: Callable[[ReportData], str]
    static: Callable[..., Figure | None]
    interactive: Callable[[ReportData], go.Figure | None]


FIGURES: dict[str, FigureModule] = {
    name: cast(Any, module)
    for name, module in {
        "isoflop": isoflop,
        "allocation": allocation,
        "heldout": heldout,
        "surface": surface,
        "residuals": residuals,
        "curves": curves,
        "tuning": tuning,
        "competition": competition,
        "profiles": profiles,
    }.items()
}
"""By file name, in the order of the page."""
