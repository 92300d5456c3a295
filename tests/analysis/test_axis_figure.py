"""The figure of a sweep's axis, from a made-up table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isoflop.analysis.figures.axis_values import LossByAxisValue
from isoflop.analysis.figures.figure_data import render
from isoflop.analysis.run_table import table_of


def made_up(values: tuple[str, ...]) -> pd.DataFrame:
    """Two seeds of three sizes at two budgets, at each value; only the first has the larger budget."""
    return pd.DataFrame(
        [
            {"n_params": N, "n_tokens": C / (6 * N), "flops": C, "budget": C, "loss": 2 + k + seed + 1e3 / N}
            | {"axes": value, "init_seed": seed}
            for k, value in enumerate(values)
            for C in ((1e12, 4e12) if k == 0 else (1e12,))
            for N in (1e4, 2e4, 4e4)
            for seed in (0, 1)
        ]
    )


def test_it_is_of_the_largest_budget_that_all_values_have() -> None:
    figure = LossByAxisValue.of(table_of(made_up(("experts=1", "experts=4"))))
    assert figure is not None
    assert figure.budget == 1e12
    assert figure.values == ("experts=1", "experts=4")
    drawn, hover = render(figure)
    means = [line for line in drawn.axes[0].lines if line.get_linestyle() == "-"]
    np.testing.assert_allclose(np.asarray(means[1].get_ydata(), dtype=float), [3.6, 3.55, 3.525])
    assert [len(words) for _, words in hover] == [6, 6]
    assert "experts=4: least mean 3.525 at 40k parameters" in figure.description


def test_without_several_values_or_a_budget_in_common_there_is_none() -> None:
    table = made_up(("experts=1", "experts=4"))
    assert LossByAxisValue.of(table_of(table.drop(columns="axes"))) is None
    assert LossByAxisValue.of(table_of(table.query("axes == 'experts=1'"))) is None
    apart = table.query("axes == 'experts=4' or budget > 1e12")
    assert LossByAxisValue.of(table_of(apart)) is None
    assert LossByAxisValue.of(table_of(made_up(tuple(f"experts={k}" for k in range(9))))) is None
