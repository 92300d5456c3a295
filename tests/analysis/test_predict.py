"""Predictions: published allocations, refusals, lifetimes, comparisons."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import FitOptions, LawFit, UserError, compare, find_law, fit, predict, table_of
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.planning.inference import lifetime
from isoflop.analysis.planning.question import tokens_at
from tests.support.surfaces import BESIROGLU, spread_runs

HOFFMANN = np.array([1.69, 406.4, 0.336, 410.7, 0.283])
"""Hoffmann et al. (2022), appendix D.3, with the exponents that reproduce their table A3."""


def fitted(truth: np.ndarray = BESIROGLU, **changes) -> LawFit:
    """A fit to exact runs of a known law."""
    return fit(
        table_of(spread_runs(40, 0.0, truth=truth)), FitOptions(**{"bootstrap": 0, "starts": 16, **changes})
    )


def test_besiroglu_at_chinchillas_budget() -> None:
    """Besiroglu et al. (2024): 72.3B parameters and 1.33T tokens at 5.76e23 FLOPs."""
    found = predict(fitted(), 5.76e23)
    assert found.n_opt == pytest.approx(72.3e9, rel=5e-3)
    assert found.d_opt == pytest.approx(1.33e12, rel=5e-3)
    assert found.loss == pytest.approx(
        float(evaluate(find_law("chinchilla"), BESIROGLU, found.n_opt, found.d_opt))
    )
    assert found.extrapolation > 1
    assert found.n_interval is None


def test_intervals_hold_the_estimate_and_widen_with_distance(wide) -> None:
    law = fit(wide, FitOptions(bootstrap=100, starts=16))
    widths = []
    for C in (1e21, 1e25):
        found = predict(law, C)
        assert found.loss_interval is not None
        assert found.n_interval is not None
        low, high = found.n_interval
        assert low is not None
        assert high is not None
        assert low < found.n_opt < high
        widths.append(np.log(high / low))
    assert widths[1] > widths[0]


def test_inference_aware_golden() -> None:
    """Sardana et al. (2024): a 7B model instead of a 13B one serving 2T tokens saves 1.7e22 FLOPs, 17%."""
    law = fitted(HOFFMANN)
    C = 13e9
    n = np.exp(np.linspace(np.log(1e18), np.log(1e26), 4000))
    budget = float(np.interp(C, law.allocate(n)[0], n))
    d13 = float(law.allocate(budget)[1])
    d7 = float(tokens_at(law, law.params_P, np.array(7e9), float(law.predict(13e9, d13))))
    large, small = (6 * N * D + 2 * N * 2e12 for N, D in ((13e9, d13), (7e9, d7)))
    assert large - small == pytest.approx(1.69e22, rel=0.02)
    assert 1 - small / large == pytest.approx(0.174, abs=0.003)
    found = lifetime(law, budget, 2e12)
    assert found.n < 13e9
    assert found.saving >= 1 - small / large


def test_no_use_means_no_change() -> None:
    law = fitted()
    n, _ = law.allocate(1e22)
    found = lifetime(law, 1e22, 0.0)
    assert found.n == pytest.approx(float(n), rel=0.01)
    assert found.saving == pytest.approx(0.0, abs=1e-5)


def test_unidentified_fits_do_not_extrapolate_unless_forced() -> None:
    N = np.geomspace(5e7, 1e10, 30)
    loss = evaluate(find_law("chinchilla"), BESIROGLU, N, 20 * N)
    line = fit(
        table_of(pd.DataFrame({"n_params": N, "n_tokens": 20 * N, "loss": loss})),
        FitOptions(bootstrap=0, starts=16),
    )
    with pytest.raises(UserError, match=r"not (identified|certified): no extrapolation from it; .*--force"):
        predict(line, 1e26)
    assert any("as a guess" in line for line in predict(line, 1e26, force=True).warnings)
    assert predict(line, 1e19).extrapolation == 1.0
    certificate = line.certificate
    assert certificate is not None
    doubtful = dataclasses.replace(
        fitted(), certificate=dataclasses.replace(certificate, status="not_certified")
    )
    with pytest.raises(UserError, match="not certified"):
        predict(doubtful, 1e26)


def test_no_fit_is_carried_a_thousand_times_beyond_its_runs_unless_forced() -> None:
    low, high = fitted().conventions.flops_range
    for far in (1e4 * high, 1e-4 * low, 1e14 * high):
        with pytest.raises(UserError, match=r"times beyond the fitted budgets.*--force"):
            predict(fitted(), far)
        assert any("times beyond" in line for line in predict(fitted(), far, force=True).warnings)
    assert any("50 times beyond" in line for line in predict(fitted(), 50 * high).warnings)


@pytest.mark.parametrize("flops", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_budgets_are_refused(flops: float) -> None:
    with pytest.raises(UserError, match="give a positive number of FLOPs"):
        predict(fitted(), flops)


def test_only_a_surface_knows_lifetimes(table) -> None:
    two = fit(table, FitOptions(approach=2, bootstrap=0))
    assert predict(two, 1e12).loss == pytest.approx(2.1, abs=0.15)
    with pytest.raises(UserError, match="needs the surface"):
        predict(two, 1e12, inference_tokens=1e9)
    with pytest.raises(UserError, match="fits no surface"):
        two.predict(1e4, 1e6)
    with pytest.raises(UserError, match="give zero or more tokens"):
        predict(fitted(), 1e20, inference_tokens=-1.0)


def test_comparison_of_tables_and_fits(wide) -> None:
    options = FitOptions(bootstrap=60, starts=16)
    other = table_of(spread_runs(120, 0.01, seed=5))
    both = compare(wide, fit(other, options), options)
    assert [line.name for line in both.lines] == ["E", "A", "alpha", "B", "beta", "a", "b"]
    first = both.lines[0]
    assert first.difference == pytest.approx((first.b or 0) - (first.a or 0))
    assert first.overlap is True
    assert [line[:44] for line in both.warnings] == ["not known to be measured on the same text: da"[:44]]
    unlike = compare(wide, fit(table_of(wide.frame.assign(flops=wide.C_R * 2)), options), options)
    assert any(line.startswith("flops_meaning differs") for line in unlike.warnings)
