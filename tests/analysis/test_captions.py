"""What captions say follows from what is drawn: nothing is printed whatever happened."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import FitOptions, fit, table_of
from isoflop.analysis.figures.allocation import Allocation
from isoflop.analysis.figures.curves import TrainingCurves
from isoflop.analysis.figures.figure_data import render
from isoflop.analysis.figures.profiles import ObjectiveProfiles, Panel
from isoflop.analysis.figures.surface import Surface
from isoflop.analysis.figures.tuning import Tuning
from isoflop.analysis.reporting.law_tables import sensitivity_table
from isoflop.analysis.reporting.sensitivity import Choice
from isoflop.analysis.result import Profiles
from tests.support.fits import conventions, law_fit
from tests.support.surfaces import spread_runs

RULE = "0.02 * (width/64)^-0.5 * (tokens/1e+06)^-0.1"


def tuned(at_edge: bool = False, fitted: bool = True) -> Tuning:
    """Two widths at one horizon, one rate under two seeds."""
    tried = pd.DataFrame({
        "lr": [0.1, 0.2, 0.2, 0.1, 0.2], "d_model": [8, 8, 8, 16, 16], "n_tokens": [1e6 + 64] * 5,
        "loss": [2.0, 2.1, 2.3, 1.9, np.nan],
    })  # fmt: skip
    anchors = [
        {"d_model": width, "n_tokens": tokens, "lr": lr, "sd": 0.1, "at_edge": at_edge and width == 16}
        for width, lr in ((8, 0.12), (16, 0.09))
        for tokens in (1e6, 8e6)
    ]
    rule = {"rule": RULE, "tuned": {"anchors": anchors, "curvature": 0.5}} if fitted else {}
    found = Tuning.of(tried, rule)
    assert found is not None
    return found


def test_the_rate_rule_is_quoted_where_there_is_one() -> None:
    assert f"Rule: rate = {RULE}." in tuned().caption
    assert "95% intervals" in tuned().caption
    assert "Rule" not in tuned(fitted=False).caption
    assert "95% intervals" not in tuned(fitted=False).caption


def test_rates_at_the_edge_are_named() -> None:
    assert "edge" not in tuned().caption
    assert (
        "At the edge of what was tried: width 16 at 1M tokens; width 16 at 8M tokens." in tuned(True).caption
    )


def test_a_curve_stands_on_its_own_places_runs() -> None:
    """Each run above the fitted curve's least value, a rate's seeds beside their mean; the lost run is left
    out."""
    first, second = tuned().places
    assert (first.name, second.name) == ("width 8, 1M tokens", "width 16, 1M tokens")
    rates, means = first.means()
    assert rates.tolist() == [0.1, 0.2]
    assert np.diff(means) == pytest.approx([0.2])
    assert first.interval == pytest.approx((0.12 * np.exp(-0.196), 0.12 * np.exp(0.196)))
    curve = first.curve(first.rate_R)
    assert curve is not None
    assert np.median(first.above_R - curve) == pytest.approx(0)
    assert len(second.rate_R) == 1


def test_without_a_fit_losses_are_above_the_best_mean() -> None:
    first, _ = tuned(fitted=False).places
    assert first.means()[1] == pytest.approx([0.0, 0.2])
    assert first.curve(first.rate_R) is first.interval is None


@pytest.mark.parametrize(
    ("schedules", "decays"),
    [(("wsd", "wsd"), True), (("cosine", "cosine"), False), (("wsd", "cosine"), False), (None, False)],
)
def test_a_drop_at_the_end_is_explained_by_decay_only_where_runs_decay(
    schedules: tuple[str, ...] | None, decays: bool
) -> None:
    frame = spread_runs(2, 0.01).assign(cell_id=["x", "y"])
    table = table_of(frame if schedules is None else frame.assign(schedule=schedules))
    found = TrainingCurves.of(table, {"x": np.array([[1e3, 1e4, 1e5], [5.0, 4.0, 3.0]])})
    assert found is not None
    assert len(found.curves) == 1
    assert ("decay" in found.caption) == decays


def test_captions_name_no_minima_budgets_or_bands_that_are_not_there() -> None:
    table = table_of(spread_runs(40, 0.01))
    found = fit(table, FitOptions(bootstrap=0, starts=16))
    drawn = Allocation.of(table, found, None)
    assert drawn is not None
    assert "Dashed line" in drawn.caption
    assert not [word for word in ("Diamonds", "Solid", "Bands") if word in drawn.caption]
    surface = Surface.of(table, found)
    assert "equal compute" not in surface.caption
    assert "budget" not in surface.caption


def test_the_sensitivity_table_says_how_far_the_choices_moved_the_answer() -> None:
    choices = [Choice("", "as reported", True, {"E": 1.8}, 0.5, 2.0, True)]
    data: Any = SimpleNamespace(
        fit=law_fit({"E": 1.8}, {"a": 0.5, "b": 0.5}), groups=(), options=FitOptions(),
        table=SimpleNamespace(C_R=np.array([1e12])), sensitivity=choices,
    )  # fmt: skip
    assert "Over all rows" not in sensitivity_table(data).caption
    choices.append(Choice("runs", "without outliers", False, {"E": 1.2}, 0.71, 1.9, False))
    assert "a goes from 0.500 to 0.710, the loss from 1.900 to 2.000" in sensitivity_table(data).caption
    assert "less" not in sensitivity_table(data).caption


def test_the_unit_of_the_loss_is_the_tables_own() -> None:
    by_bytes = dataclasses.replace(conventions((1e11, 1e12)), loss_unit="nats per byte")
    assert (by_bytes.unit, by_bytes.short_unit) == ("nats per byte", " nats")
    unknown = dataclasses.replace(by_bytes, loss_unit=None)
    assert (unknown.unit, unknown.short_unit) == ("as given", "")


def test_an_odd_number_of_panels_fits_a_telephone() -> None:
    """Three panels in two columns: the fourth place stays empty."""
    rises = np.array([2.0, 0.0, 2.0])
    panel = Panel("a", 0.5, np.array([0.4, 0.5, 0.6]), rises, (0.45, None), None, "a")
    profiles = Profiles(level=0.95, flops=1e12, simulations=10, noise="", quantities={})
    figure, _ = render(ObjectiveProfiles((panel,) * 3, profiles), narrow=True)
    assert len(figure.axes) == 3
