"""The figure of IsoFLOP curves draws the curve that was used, and marks what has no minimum."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from isoflop.analysis import FitOptions, fit, table_of
from isoflop.analysis.figures import isoflop
from isoflop.analysis.figures.style import curve_words
from isoflop.analysis.isoflops.groups import isoflop_groups
from isoflop.analysis.isoflops.minima import CURVES
from tests.analysis.test_minima import isoflops


@pytest.mark.parametrize("curve", CURVES)
def test_budgets_without_a_minimum_are_dashed_and_open_ends_carry_arrows(curve: str) -> None:
    table = table_of(isoflops(sd=0.004, centre=(0.2, 2.0)))
    found = fit(table, FitOptions(approach=2, curve=curve, bootstrap=50, starts=8))
    budgets = found.budgets or ()
    lost = sum(b.n_opt is None for b in budgets)
    assert 0 < lost < len(budgets)
    story: Any = SimpleNamespace(table=table, parabolas=found, groups=tuple(isoflop_groups(table)))
    page: Any = isoflop.interactive(story)
    paper: Any = isoflop.static(story)
    assert sum(getattr(trace.line, "dash", None) == "dash" for trace in page.data) == lost
    assert sum("no minimum" in (trace.name or "") for trace in page.data) == lost
    opened = sum(b.n_interval.count(None) for b in budgets if b.n_interval)
    arrows = [t for t in page.data if str(t.marker.symbol or "").startswith("triangle")]
    assert sum(len(trace.x) for trace in arrows) == opened
    keys = [text.get_text() for text in paper.axes[0].get_legend().get_texts()]
    assert sum(key.endswith("no minimum") for key in keys) == lost
    assert curve_words(curve) in isoflop.caption(story)
    assert "Dashed" in isoflop.caption(story)
