"""Do the approaches agree beyond their joint noise?"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import FitOptions, RunTable, table_of
from isoflop.analysis.comparison.agreement import Agreement, agreement
from tests.support.simulate import grid
from tests.support.surfaces import LOPSIDED, isoflops, spread_runs

OPTIONS = FitOptions(bootstrap=200, starts=32)


def parabolas_in_log(noise: float, seed: int = 0) -> RunTable:
    """Symmetric curves of one width at every budget, N_opt ~ C^.75: no surface of the chinchilla form."""
    rng = np.random.default_rng(seed)
    C = np.repeat(np.geomspace(1e18, 1e21, 6), 7)
    factor = np.tile(np.geomspace(1 / 3, 3, 7), 6)
    N = 3e8 * (C / 3e19) ** 0.75 * factor
    loss = (2 + 400 * C**-0.15 + 0.05 * np.log(factor) ** 2) * np.exp(noise * rng.standard_normal(len(C)))
    return table_of(
        pd.DataFrame({"n_params": N, "n_tokens": C / (6 * N), "flops": C, "budget": C, "loss": loss})
    )


def of(found: tuple[Agreement, ...], approach: int) -> Agreement:
    return next(item for item in found if item.approach == approach)


@pytest.mark.slow
def test_approaches_that_see_one_surface_agree_nineteen_times_in_twenty() -> None:
    """Of 30 tables 1.5 are expected to be called apart; more than 5 come by chance 3 times in 1,000."""
    found = [agreement(table_of(isoflops(sd=0.003, seed=seed)), OPTIONS) for seed in range(30)]
    for approach in (1, 2):
        assert sum(not of(item, approach).agrees for item in found) <= 5
        assert np.mean([of(item, approach).p_beyond or 0 for item in found]) == pytest.approx(0.5, abs=0.17)


def test_a_table_that_no_surface_fits_is_found_out() -> None:
    item = of(agreement(parabolas_in_log(0.0005), OPTIONS), 2)
    assert item.exponent == pytest.approx(0.75, abs=0.002)
    assert item.surface_exponent > 0.754
    assert not item.agrees
    assert (item.p_value or 1) < 0.05
    low, high = item.interval
    assert low is not None
    assert high is not None
    assert low < item.difference < high < 0


def test_a_parabola_s_own_bias_explains_a_difference() -> None:
    """Wide curves off their centre by more and more: the exponents differ without noise, and it says why."""
    table = table_of(isoflops(sd=2e-5, width=16, centre=(0.5, 2), truth=LOPSIDED))
    item = of(agreement(table, OPTIONS), 2)
    assert (item.p_value or 1) < 0.05
    assert item.explained == pytest.approx(item.difference, abs=0.001)
    assert abs(item.difference) > 0.001
    assert item.agrees


def test_a_sweep_on_shared_trunks_is_redrawn_with_their_effects() -> None:
    found = agreement(table_of(grid()), OPTIONS)
    assert [item.approach for item in found] == [2, 1]
    for item in found:
        assert "shared trunks" in item.resampling
        assert item.B >= 100
        low, high = item.interval
        assert low is not None
        assert high is not None
        assert low < item.difference < high
        assert json.loads(json.dumps(item.to_json()))["agrees"] is item.agrees


def test_nothing_is_compared_where_nothing_can_be() -> None:
    frame = isoflops(sd=0.003)
    assert agreement(table_of(frame), FitOptions(bootstrap=0)) == ()
    assert agreement(table_of(frame.iloc[:5]), OPTIONS) == ()
    assert agreement(table_of(isoflops(sd=0.003, sizes=3)), OPTIONS) == ()
    assert all(item.approach == 1 for item in agreement(table_of(spread_runs(40, 0.01)), OPTIONS))
