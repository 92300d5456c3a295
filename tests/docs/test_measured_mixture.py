"""The page on mixtures says what its tables in docs/results give."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from docs.draw_measured.mixture import DOMAINS, LARGEST_BUDGET, errors
from isoflop.analysis import FitOptions, fit, load_runs
from tests.docs.commands import ROOT

PAGE = (ROOT / "docs" / "laws-measured" / "mixture.md").read_text(encoding="utf-8")
LEFT_OUT = ROOT / "docs" / "results" / "mixture" / "left_out.csv"
NUMBER = r"(-?\d*\.\d+)"


@pytest.mark.parametrize(
    ("law", "name", "where"),
    [("mixture", "t", f"d_model=16,budget={LARGEST_BUDGET:.0f}"), ("bimix", "alpha", "d_model=16")],
)
def test_a_law_of_the_mixture_is_what_the_page_says(law: str, name: str, where: str) -> None:
    text = DOMAINS["French"]
    runs = load_runs(
        "measured:mixture", columns={"share": f"share_{text}"}, metric=f"loss_{text}", where=where
    )
    found = fit(runs, FitOptions(law=law))
    assert found.intervals is not None
    value, interval = found.params[name], found.intervals.params[name]
    assert value is not None
    printed = re.findall(rf"{NUMBER}\s\[{NUMBER},\s{NUMBER}\]", PAGE)
    assert pytest.approx((value, *interval), rel=0.02) in [tuple(map(float, each)) for each in printed]


def test_shares_left_out_are_missed_by_what_the_page_says() -> None:
    table: Any = pd.read_csv(LEFT_OUT)
    assert len(table) == 20
    rows = re.findall(rf"\| (between|beyond)[^|]*\| {NUMBER} \| {NUMBER} \| {NUMBER} \|", PAGE)
    assert len(rows) == 2
    for place, *printed in rows:
        here = table[table["between"] == (place == "between")]
        misses = here[["mixture", "bimix", "linear"]].abs().mean()
        np.testing.assert_allclose(np.array(printed, dtype=float), misses, atol=6e-5)


def test_the_table_of_misses_is_that_of_the_runs() -> None:
    table: Any = pd.read_csv(LEFT_OUT).query("width == 16 and language == 'French'")
    found = pd.DataFrame(errors(16, "French"))
    for column in ("share", "bimix", "linear"):
        np.testing.assert_allclose(table[column], found[column], atol=2e-5)
    # Rounding decides between optima that are as good, as the page says.
    np.testing.assert_allclose(table["mixture"], found["mixture"], atol=0.016)


def test_every_mixture_was_evaluated_on_the_same_windows() -> None:
    frame: Any = load_runs("measured:mixture").frame
    assert len(frame) == 60
    assert (frame.groupby(["d_model", "budget", "init_seed"]).size() == 5).all()
    assert np.allclose(frame["share_wiki_intro"] + frame["share_wiki_intro_fr"], 1)
    # The windows of a mixture are its parts', by weight: its own loss lies between those on the parts.
    low = frame[["loss_wiki_intro", "loss_wiki_intro_fr"]].min(axis=1)
    high = frame[["loss_wiki_intro", "loss_wiki_intro_fr"]].max(axis=1)
    assert ((frame["loss"] > low) & (frame["loss"] < high)).all()
