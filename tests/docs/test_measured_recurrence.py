"""docs/laws-measured/recurrence.md says what its table does."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest

from isoflop.analysis import compare_families, load_runs
from tests.docs.commands import ROOT

TEXT = (ROOT / "docs" / "laws-measured" / "recurrence.md").read_text(encoding="utf-8")


def test_the_multiplier_and_its_slope_are_the_pages() -> None:
    (comparison,) = compare_families(load_runs("measured:recurrence"), by="architecture")
    found = comparison.multiplier
    assert found is not None
    printed = re.findall(r"(\d\.\d+)\s\[(\d\.\d+),\s(\d\.\d+)\]", TEXT)
    values = [tuple(map(float, each)) for each in printed]
    for point in (found.shown[0], found.shown[2], found.shown[4]):
        assert pytest.approx((point.multiplier, *point.interval), rel=0.01) in values
    assert pytest.approx((found.slope, *found.slope_interval), abs=0.001) in values


def test_the_losses_are_the_pages() -> None:
    frame: Any = load_runs("measured:recurrence").frame
    mean = frame.groupby(["architecture", "budget", "d_model"])["loss"].mean()
    assert mean["decoder", 9e10].min() == pytest.approx(2.072, abs=6e-4)
    assert mean["gated_recurrence", 4e10].min() == pytest.approx(2.041, abs=6e-4)
    tokens = frame.groupby(["architecture", "budget", "d_model"])["n_tokens"].first()
    assert tokens["decoder", 9e10, 16] == 566_784
    assert tokens["gated_recurrence", 4e10, 16] == 468_736
    ratio = tokens["gated_recurrence", 9e10, 16] / tokens["decoder", 9e10, 16]
    assert ratio == pytest.approx(1.86, abs=0.01)


def test_the_leads_by_position_are_the_pages() -> None:
    frame: Any = load_runs("measured:recurrence").frame
    positions: Any = pd.read_csv(ROOT / "docs/results/recurrence/positions.csv")
    found = positions.merge(frame[["cell_id", "architecture"]], on="cell_id")
    mean = found.groupby(["architecture", "position"])["loss"].mean()
    lead = mean["decoder"] - mean["gated_recurrence"]
    for first, last, nats in ((1, 4, 0.07), (5, 16, 0.13), (65, 128, 0.14)):
        assert lead.loc[first:last].mean() == pytest.approx(nats, abs=0.005)
        assert f"by {nats:.2f}".replace("0.", ".") in TEXT
