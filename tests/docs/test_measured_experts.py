"""docs/laws-measured/experts.md says what the table in docs/results/experts gives."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

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


@pytest.fixture(scope="module")
def by_grain(frame: Any) -> Any:
    """Losses of four experts, a column a granularity, and those of the dense runs beside them."""
    pairs = ["d_model", "budget", "init_seed"]
    fine = load_runs("measured:granularity").frame
    losses = fine.pivot_table(index=pairs, columns="granularity", values="loss")
    return losses.assign(dense=frame[frame["experts"] == 1].set_index(pairs)["loss"])


def test_whole_experts_of_the_second_sweep_are_those_of_the_first(frame: Any, by_grain: Any) -> None:
    whole = frame[frame["experts"] == 4].set_index(["d_model", "budget", "init_seed"])["loss"]
    assert list(whole.sort_index()) == list(by_grain[1].sort_index())


def test_the_page_says_what_finer_experts_come_to(by_grain: Any) -> None:
    means = by_grain.groupby(["d_model", "budget"]).mean()[["dense", 1, 2, 4]]
    rows = re.findall(r"\| (\d+) \| (\d\S*e1\d) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \|", PAGE)
    assert len(rows) == len(means)
    for (width, budget, *losses), (at, measured) in zip(rows, means.iterrows(), strict=True):
        assert (float(width), float(budget)) == at
        assert list(measured) == pytest.approx(list(map(float, losses)), abs=6e-4)
    columns = {"dense": "dense", "whole experts": 1, "halves": 2, "quarters": 4}
    rows = re.findall(r"\| (\w+) less ([\w ]+) \| (\S+) ± (\S+) \| (\d) of 8 pairs \|", PAGE)
    assert len(rows) == 4
    for fine, coarse, mean, error, lower in rows:
        here = by_grain[columns[fine]] - by_grain[columns[coarse]]
        assert here.mean() == pytest.approx(float(mean), abs=6e-4)
        assert here.std(ddof=1) / len(here) ** 0.5 == pytest.approx(float(error), abs=6e-4)
        assert (here < 0).sum() == int(lower)


def test_the_page_says_what_is_left_of_krajewskis_law() -> None:
    """The constants by another solver than the fitter's: the same Huber losses of log residuals."""
    runs: Any = load_runs("measured:granularity").frame
    size = np.asarray(runs["n_params_non_embedding"]) ** -0.115
    grain = np.asarray(runs["granularity"]) ** -0.58
    terms = np.column_stack([grain * size, size, np.asarray(runs["n_tokens"]) ** -0.147])
    loss = np.asarray(runs["loss"])
    tight: dict[str, Any] = {"ftol": 1e-14, "xtol": 1e-14, "gtol": 1e-14}
    found = least_squares(
        lambda constants: np.log((0.47 + terms @ constants) / loss),
        (0.2, 1.3, 8.0),
        loss="huber",
        f_scale=1e-3,
        **tight,
    )
    g, a, _ = found.x
    written = re.search(
        r"g is (\S+) \[.*a is (\S+) \[.* is (\S+) here and \.12 in print", " ".join(PAGE.split())
    )
    assert written is not None
    assert [g, a, g / a] == pytest.approx(list(map(float, written.groups())), abs=6e-3)
