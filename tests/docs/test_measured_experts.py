"""docs/laws-measured/experts.md says what the table in docs/results/experts gives."""

from __future__ import annotations

import re
from typing import Any

import pytest

from isoflop.analysis import load_runs
from tests.docs.commands import ROOT

PAGE = (ROOT / "docs" / "laws-measured" / "experts.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def frame() -> Any:
    """The committed runs."""
    return load_runs("measured:experts").frame


@pytest.fixture(scope="module")
def rises(frame: Any) -> Any:
    """Nats above the dense run of the same budget, width and seed, a column a number of experts."""
    losses = frame.pivot_table(index=["d_model", "budget", "init_seed"], columns="experts", values="loss")
    return losses.sub(losses[1], axis=0)


def test_the_page_says_what_experts_added_to_the_loss(frame: Any, rises: Any) -> None:
    dense = frame[frame["experts"] == 1].groupby(["d_model", "budget"])[["n_tokens", "loss"]].mean()
    means = rises.groupby(["d_model", "budget"]).mean()
    rows = re.findall(r"\| (\d+) \| (\d+) thousand \| (\S+) \| (\S+) \| (\S+) \| (\S+) \|", PAGE)
    assert len(rows) == len(dense)
    for row, measured, rise in zip(rows, dense.reset_index().itertuples(), means.itertuples(), strict=True):
        width, tokens, loss, *more = map(float, row)
        assert width == measured.d_model
        assert measured.n_tokens == pytest.approx(1e3 * tokens, rel=0.01)
        assert measured.loss == pytest.approx(loss, abs=6e-4)
        assert list(rise[2:]) == pytest.approx(more, abs=6e-4)


def test_the_page_says_what_each_number_of_experts_cost_on_average(frame: Any, rises: Any) -> None:
    rows = re.findall(r"\| (\d) experts \| (\S+) ± (\S+) \| (\S+)% \|", PAGE)
    assert [row[0] for row in rows] == ["2", "4", "8"]
    for experts, mean, error, dropped in rows:
        here = rises[int(experts)]
        assert here.mean() == pytest.approx(float(mean), abs=6e-4)
        assert here.std(ddof=1) / len(here) ** 0.5 == pytest.approx(float(error), abs=6e-4)
        share = frame.loc[frame["experts"] == int(experts), "dropped"].mean()
        assert 100 * share == pytest.approx(float(dropped), abs=0.06)
