"""The figures of what was measured of a sweep's kept models, from made-up tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis.figures.evaluations import LossByPosition, PruningLoss, QuantizationLoss
from isoflop.analysis.figures.figure_data import render


def test_loss_by_position_is_of_each_sizes_longest_run_over_seeds() -> None:
    rows = [
        {"n_params_non_embedding": size, "n_tokens": tokens, "position": position, "loss": loss + seed}
        for size, tokens, loss in ((1e4, 1e6, 9.0), (1e4, 2e6, 3.0), (4e4, 1e6, 2.0))
        for seed in (-0.1, 0.1)
        for position in (1, 2, 4)
    ]
    figure = LossByPosition.of(pd.DataFrame(rows))
    assert figure is not None
    assert figure.sizes == (1e4, 4e4)
    np.testing.assert_allclose(figure.loss_MxT, [[3.0] * 3, [2.0] * 3])
    drawn, hover = render(figure)
    assert len(hover) == 2
    assert hover[0][1][0].endswith("position 1: 3.0000")
    assert drawn.axes[0].get_xscale() == "log"
    assert "40k parameters: 2.000 to 2.000" in figure.description


@pytest.mark.parametrize(("figure", "name"), [(QuantizationLoss, "3 bits"), (PruningLoss, "300% pruned")])
def test_rises_are_drawn_by_tokens_per_parameter_and_others_counted(
    figure: type[QuantizationLoss] | type[PruningLoss], name: str
) -> None:
    table = pd.DataFrame(
        {
            "n_params_non_embedding": [1e4, 1e4, 2e4, 2e4],
            "n_tokens": 1e6,
            figure.column: [3, 8, 3, 8],
            "loss_increase": [0.2, 0.01, 0.1, -0.001],
        }
    )
    made = figure.of(table)
    assert made is not None
    np.testing.assert_allclose(made.ratio_M[0], [100, 50])
    np.testing.assert_allclose(made.rise_M[0], [0.2, 0.1])
    assert "1 that did not rise are not drawn" in made.caption
    assert f"{name}: median 0.15" in made.description
    assert len(render(made)[1]) == 2


@pytest.mark.parametrize("figure", [LossByPosition, QuantizationLoss, PruningLoss])
def test_without_its_table_there_is_no_figure(figure: type[LossByPosition]) -> None:
    assert figure.of(None) is None
    assert figure.of(pd.DataFrame({"cell_id": ["a"]})) is None
