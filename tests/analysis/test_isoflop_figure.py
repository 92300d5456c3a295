"""The figure of IsoFLOP curves draws the curve that was used, and marks what has no minimum."""

from __future__ import annotations

import pytest

from isoflop.analysis import FitOptions, fit, table_of
from isoflop.analysis.figures.figure_data import render
from isoflop.analysis.figures.isoflop import IsoflopCurves
from isoflop.analysis.figures.style import CURVE_NAMES
from isoflop.analysis.isoflops.minima import CURVES
from isoflop.analysis.options import Curve
from tests.support.surfaces import isoflops


@pytest.mark.parametrize("curve", CURVES)
def test_budgets_without_a_minimum_are_dashed_and_open_ends_carry_arrows(curve: Curve) -> None:
    table = table_of(isoflops(sd=0.004, centre=(0.2, 2.0)))
    found = fit(table, FitOptions(approach=2, curve=curve, bootstrap=50, starts=8))
    budgets = found.budgets or ()
    lost = sum(b.n_opt is None for b in budgets)
    assert 0 < lost < len(budgets)
    drawn = IsoflopCurves.of(table, found)
    assert drawn is not None
    paper, _ = render(drawn)
    lines = {str(line.get_label()): line for line in paper.axes[0].lines}
    assert sum(line.get_linestyle() == "--" for line in lines.values()) == lost
    ends = sum(b.n_interval.count(None) for b in budgets if b.n_interval)
    assert sum(line.get_label() == "_open end" for line in paper.axes[0].lines) == ends
    keys = [text.get_text() for text in paper.legends[0].get_texts()]
    assert sum(key.endswith("no minimum") for key in keys) == lost
    assert CURVE_NAMES[curve] in drawn.caption
    assert "Dashed" in drawn.caption
    assert drawn.description.count("minimum at or beyond") + drawn.description.count("bend upwards") == lost
