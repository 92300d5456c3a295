"""What captions say follows from what is drawn: nothing is printed whatever happened."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import FitOptions, fit, table_of
from isoflop.analysis.figures import allocation, curves, surface, tuning
from isoflop.analysis.figures.style import loss_unit, nats
from isoflop.analysis.reporting.law_tables import sensitivity_table
from isoflop.analysis.reporting.variants import Choice
from tests.analysis.conftest import spread_runs
from tests.support.fits import conventions


def ruled(p: float, c: float = 0.02) -> Any:
    tried = pd.DataFrame({"lr": [0.1, 0.2], "d_model": [8, 8], "loss": [2.0, 2.1]})
    return SimpleNamespace(sweep=SimpleNamespace(tuning=tried, summary={"learning_rate": {"c": c, "p": p}}))


@pytest.mark.parametrize(
    ("p", "rule"),
    [(0.5, "0.02 × width^−0.5"), (-0.0556, "0.02 × width^0.0556"), (0.0, "0.02 at every width")],
)
def test_the_rate_rule_has_one_sign(p: float, rule: str) -> None:
    assert f"rate = {rule}." in tuning.caption(ruled(p))


def test_ticks_of_a_rule_are_named_where_there_is_one() -> None:
    story = ruled(0.5)
    story.sweep.summary = {}
    assert "ticks" not in tuning.caption(story)


def test_a_drop_at_the_end_is_explained_by_decay_only_where_runs_decay() -> None:
    def story(*schedules: str) -> Any:
        values = np.array(schedules) if schedules else None
        return SimpleNamespace(table=SimpleNamespace(column=lambda name: values))

    assert "decay" in curves.caption(story("wsd", "wsd"))
    assert "decay" not in curves.caption(story("cosine", "cosine"))
    assert "decay" not in curves.caption(story("wsd", "cosine"))
    assert "decay" not in curves.caption(story())


def test_captions_name_no_minima_budgets_or_bands_that_are_not_there() -> None:
    table = table_of(spread_runs(40, 0.01))
    found = fit(table, FitOptions(bootstrap=0, starts=16))
    story: Any = SimpleNamespace(table=table, fit=found, parabolas=None, groups=(), options=FitOptions())
    said = allocation.caption(story)
    assert "Dashed line" in said
    assert not [word for word in ("Diamonds", "Solid", "Bands") if word in said]
    assert "equal compute" not in surface.caption(story)
    assert "budget" not in surface.caption(story)


def test_the_sensitivity_table_says_how_far_the_choices_moved_the_answer() -> None:
    choices = [Choice("", "as reported", True, {"E": 1.8}, 0.5, 0.5, 2.0, True)]
    story: Any = SimpleNamespace(
        fit=SimpleNamespace(params={"E": 1.8}, intervals=None), groups=(), options=FitOptions(),
        table=SimpleNamespace(C_R=np.array([1e12])), sensitivity=choices,
    )  # fmt: skip
    assert "Over all rows" not in sensitivity_table(story).caption
    choices.append(Choice("runs", "without outliers", False, {"E": 1.2}, 0.71, 0.29, 1.9, False))
    assert "a goes from 0.500 to 0.710, the loss from 1.900 to 2.000" in sensitivity_table(story).caption
    assert "less" not in sensitivity_table(story).caption


def test_the_unit_of_the_loss_is_the_tables_own() -> None:
    by_bytes = dataclasses.replace(conventions((1e11, 1e12)), loss_unit="nats per byte")
    assert (loss_unit(by_bytes), nats(by_bytes)) == ("nats per byte", " nats")
    unknown = dataclasses.replace(by_bytes, loss_unit=None)
    assert (loss_unit(unknown), nats(unknown)) == ("as given", "")
