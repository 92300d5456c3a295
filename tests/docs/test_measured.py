"""Pages of docs/laws-measured say what a fit of the table in docs/results gives."""

from __future__ import annotations

import re

import numpy as np
import pytest

from isoflop.analysis import fit, load_runs
from tests.docs.commands import ROOT

PAGES = ROOT / "docs" / "laws-measured"


@pytest.mark.parametrize(
    ("page", "source", "law", "where", "name"),
    [
        ("repetition", "measured:repetition", "muennighoff", "unique_tokens!=32768", "R_D*"),
        ("compute", "measured:cpu-ladder", "hestness", "d_model=48", "beta"),
        ("compute", "measured:cpu-ladder", "kaplan_compute", None, "alpha_C"),
        (
            "precision",
            str(ROOT / "docs/results/quantization/quantization.csv"),
            "kumar_post_training",
            "bits_post<=4",
            "g_D",
        ),
    ],
)
def test_a_measured_law_is_what_its_page_says(
    page: str, source: str, law: str, where: str | None, name: str
) -> None:
    found = fit(load_runs(source, law=law, where=where), law=law)
    assert found.intervals is not None
    value, interval = found.params[name], found.intervals.params[name]
    assert value is not None
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    printed = re.findall(r"(\d*\.\d+)\s\[(\d*\.\d+),\s(\d*\.\d+)\]", text)
    assert pytest.approx((value, *interval), rel=0.01) in [tuple(map(float, each)) for each in printed]


def test_the_page_on_repeated_text_says_what_it_cost() -> None:
    frame = load_runs("measured:repetition").frame
    fresh = frame.query("unique_tokens == 0").set_index(["budget", "d_model", "init_seed"])["loss"]
    part = frame.query("unique_tokens > 40_000 and n_tokens > n_tokens_unique")
    twin = fresh.loc[list(zip(part["budget"], part["d_model"], part["init_seed"], strict=True))]
    cost = np.asarray(part["loss"]) - np.asarray(twin)
    passes = np.asarray(part["n_tokens"]) / np.asarray(part["n_tokens_unique"])
    text = (PAGES / "repetition.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| (\d+) to (\d+) \| (\d+) \| (\S+) ± (\S+) \|", text)
    assert len(rows) == 5
    for low, high, pairs, mean, error in rows:
        here = cost[(passes > float(low)) & (passes <= float(high))]
        assert len(here) == int(pairs)
        assert here.mean() == pytest.approx(float(mean), abs=6e-4)
        assert here.std(ddof=1) / len(here) ** 0.5 == pytest.approx(float(error), abs=6e-4)
