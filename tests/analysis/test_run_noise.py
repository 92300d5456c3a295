"""Noise of a run, from cells with several seeds: pooled, with heavy tails, by trunk and run, and where."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtrit

from isoflop.analysis import FitOptions, RunTable, fit, table_of
from isoflop.analysis.uncertainty.replicates import Contrasts, repeats_of, seed_contrasts
from isoflop.analysis.uncertainty.run_noise import (
    DIFFERENCE_FREEDOMS,
    DIFFERENCE_SCALES,
    FREEDOMS,
    SIGMA,
    noise_posterior,
    noise_warnings,
    seed_noise,
)

SD = 0.01


def pairs(
    widths: int = 10, budgets: int = 3, trunk: float = 0.0, power: float = 0.0, seed: int = 0
) -> pd.DataFrame:
    """Cells of two seeds, each seed a trunk a width: a trunk's effect of `trunk` SD, a run's own of SD, times
    C^power."""
    rng = np.random.default_rng(seed)
    rows = []
    for width in range(widths):
        effects = trunk * SD * rng.standard_normal(2)
        for C in np.geomspace(1e11, 1e13, budgets):
            for s in (0, 1):
                noise = effects[s] + SD * rng.standard_normal()
                loss = 2.0 * np.exp(noise * (C / 1e12) ** power)
                N = 1e4 * 1.4**width
                row = {"n_params": N, "n_tokens": C / 6 / N, "flops": C, "budget": C, "loss": loss}
                rows.append({**row, "trunk_id": f"{width}-{s}", "init_seed": s})
    return pd.DataFrame(rows)


def plain(raw_F: np.ndarray) -> Contrasts:
    """Contrasts of pairs that share nothing."""
    F = len(raw_F)
    return Contrasts(raw_F, np.eye(F), np.ones(F), np.zeros(F), np.zeros(F), float(F), differences=True)


def test_differences_are_pooled_over_all_cells() -> None:
    frame = pd.DataFrame(
        {"n_params": [1e6, 1e6, 2e6, 2e6, 3e6], "n_tokens": [1e8] * 5, "loss": [2.0, 2.02, 1.8, 1.84, 1.5]}
    )
    found = seed_noise(table_of(frame))
    assert found is not None
    assert (found.pairs, found.cells, found.cells_repeated, found.sizes_repeated) == (2, 3, 2, 2)
    squares = [np.log(2.02 / 2.0) ** 2 / 2, np.log(1.84 / 1.8) ** 2 / 2]
    assert found.rms_log_sd == pytest.approx(np.sqrt(np.mean(squares)))
    assert found.trunk_log_sd is None
    assert seed_noise(table_of(frame.iloc[::2])) is None


def test_rotated_contrasts_have_the_variance_that_they_state() -> None:
    """Against the covariance of the runs written out: seeds that share trunks over three budgets."""
    table = table_of(pairs(widths=2))
    found = seed_contrasts(table)
    assert found is not None
    cell_R, _ = repeats_of(table)
    _, trunk_R = np.unique(table.frame["trunk_id"], return_inverse=True)
    share = 0.3
    V_RxR = (1 - share) * np.eye(12) + share * (trunk_R[:, None] == trunk_R)
    # Generalized least squares of the cells' means: its residual sum is that of the rotated contrasts.
    cells_RxG = (cell_R[:, None] == np.unique(cell_R)).astype(float)
    W, y = np.linalg.inv(V_RxR), np.log(table.loss_R)
    beta = np.linalg.solve(cells_RxG.T @ W @ cells_RxG, cells_RxG.T @ W @ y)
    left = y - cells_RxG @ beta
    rotated_F = found.rotation_FxF @ found.raw_F
    assert (rotated_F**2 / (1 - share + share * found.trunks_F)).sum() == pytest.approx(left @ W @ left)
    np.testing.assert_allclose(found.rotation_FxF @ found.rotation_FxF.T, np.eye(6), atol=1e-12)


def test_the_difference_of_two_heavy_tailed_runs_has_the_quantiles_of_its_stand_in() -> None:
    rng = np.random.default_rng(0)
    stand_ins = zip(FREEDOMS, DIFFERENCE_FREEDOMS, DIFFERENCE_SCALES, strict=True)
    for freedom, seen, wider in list(stand_ins)[1:4]:
        z = np.abs(rng.standard_t(freedom, 400_000) - rng.standard_t(freedom, 400_000)) / np.sqrt(2)
        for q in (0.5, 0.6827, 0.95):
            assert np.quantile(z, q) == pytest.approx(wider * stdtrit(seen, 0.5 * (1 + q)), rel=0.03)


@pytest.mark.parametrize("heavy", [False, True])
def test_the_interval_of_the_noise_holds_it(heavy: bool) -> None:
    """100 tables of 10 pairs, normal and t of 3 degrees of freedom; nominal 95%, standard error 2%."""
    rng = np.random.default_rng(1)
    truth = stdtrit(3, SIGMA) if heavy else 1.0
    held, low = 0, 0
    for _ in range(100):
        runs = rng.standard_t(3, (10, 2)) if heavy else rng.standard_normal((10, 2))
        found = noise_posterior(plain((runs[:, 0] - runs[:, 1]) / np.sqrt(2)))
        least, most = (found.quantile(found.sd_K, q) for q in (0.025, 0.975))
        held += least <= truth <= most
        low += most < truth
    assert held >= 88
    assert low <= 5


def test_three_pairs_that_agree_leave_room_for_much_more_noise() -> None:
    found = noise_posterior(plain(np.array([1.0, -0.8, 0.6]) * 1e-3))
    assert found.quantile(found.sd_K, 0.975) > 2.5e-3
    many = noise_posterior(plain(np.tile([1.0, -0.8, 0.6], 20) * 1e-3))
    assert many.quantile(many.sd_K, 0.975) < 1.1e-3


def test_one_bad_run_is_seen_and_does_not_blow_up_the_noise() -> None:
    frame = pairs(widths=10)
    clean = seed_noise(table_of(frame))
    frame.loc[20, "loss"] *= 1.3
    found = seed_noise(table_of(frame))
    assert clean is not None
    assert found is not None
    assert found.rms_log_sd > 3 * clean.rms_log_sd
    assert found.log_sd < 1.6 * clean.log_sd
    assert clean.outlier_p > 0.05
    assert found.outlier_p < 0.01
    assert found.tail_freedom <= 3 < clean.tail_freedom
    assert "the largest difference stands out" in found.description


def test_trunk_and_run_are_told_apart() -> None:
    found = seed_noise(table_of(pairs(widths=60, trunk=2.0)))
    assert found is not None
    assert found.trunk_log_sd == pytest.approx(2 * SD, rel=0.3)
    assert found.run_log_sd == pytest.approx(SD, rel=0.25)
    alone = seed_noise(table_of(pairs(widths=60)))
    assert alone is not None
    assert alone.trunk_log_sd is not None
    assert alone.trunk_log_sd < 0.5 * SD


@pytest.mark.parametrize(("power", "shown"), [(0.0, False), (0.4, True)])
def test_a_power_of_compute_is_found_where_there_is_one(power: float, shown: bool) -> None:
    found = seed_noise(table_of(pairs(widths=12, power=power)))
    assert found is not None
    assert found.budget is not None
    low, high = found.budget.interval
    assert low is not None
    assert high is not None
    assert low <= power <= high
    assert (found.budget.p_value < 0.05) is shown
    assert ("no change shown with C" not in found.description) is shown


def test_rows_that_are_no_repeats_are_none() -> None:
    frame = pairs(widths=2)
    rates = frame.assign(lr=0.01 * (1 + frame["init_seed"]))
    assert seed_noise(table_of(rates)) is None  # another rate is another recipe
    twice = pd.concat([frame.query("init_seed == 0")] * 2, ignore_index=True)
    assert seed_noise(table_of(twice)) is None  # the same row again, to the last digit


def test_where_pairs_are_lacking_is_said(table: RunTable) -> None:
    frame = pairs(widths=6)
    lacking = frame.query("n_params < 3e4 or init_seed == 0")
    found = fit(table_of(lacking), FitOptions(bootstrap=0, starts=4))
    assert found.noise is not None
    (warning,) = (w for w in found.warnings if "noise between seeds" in w)
    assert "12 pairs of seeds at 4 of 6 sizes and 3 of 3 budgets, no pairs above N = 2.744e+04" in warning
    assert noise_warnings(seed_noise(table_of(frame)), table_of(frame)) == ()
    assert fit(table, FitOptions(bootstrap=0, starts=4)).noise is not None
