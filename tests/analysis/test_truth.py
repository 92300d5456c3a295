"""Runs simulated from known parameters: they are found, and what the design cannot tell is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import FitOptions, LawFit, RunTable, find_law, fit, table_of
from isoflop.analysis.laws.evaluate import evaluate
from tests.support.surfaces import BESIROGLU
from tests.support.true_laws import TRUTH, isoflop, simulate, spread

NAMES = ("E", "A", "alpha", "B", "beta")
EXPONENT = BESIROGLU[4] / (BESIROGLU[2] + BESIROGLU[4])
FAST = FitOptions(bootstrap=0, starts=16)


def near_one_size() -> tuple[np.ndarray, np.ndarray]:
    """40 runs whose sizes differ by a few percent only."""
    N = 1e9 * np.exp(0.02 * np.random.default_rng(3).standard_normal(40))
    return N, np.geomspace(1e9, 3e11, 40)


def line(R: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Runs of 20 tokens a parameter."""
    N = np.geomspace(5e7, 1e10, R)
    return N, 20 * N


Design = Callable[[], tuple[np.ndarray, np.ndarray]]
GOOD: dict[str, Design] = {"IsoFLOP grid": isoflop, "spread": spread, "two budgets": lambda: isoflop(2, 12)}
BAD: dict[str, tuple[Design, set[str]]] = {
    "D = 20 N": (line, {"A", "alpha", "B", "beta"}),
    "a single size": (lambda: (np.full(40, 1e9), np.geomspace(1e9, 3e11, 40)), {"E", "A", "alpha"}),
    "nearly one size": (near_one_size, {"E", "A", "alpha"}),
    "one number of tokens": (lambda: (np.geomspace(5e7, 1e10, 40), np.full(40, 2e10)), {"E", "B", "beta"}),
    "as many runs as parameters": (lambda: spread(5), set(NAMES)),
}
"""Designs that cannot tell some parameters, and which these are at least."""


def with_outliers(seed: int) -> pd.DataFrame:
    """60 spread runs with 0.2% noise, of which 5% have a loss 20% too high."""
    frame = simulate(*spread(60, seed), 0.002, seed)
    hit = np.random.default_rng([seed, 13]).choice(60, 3, replace=False)
    frame.loc[hit, "loss"] *= 1.2
    return frame


def falling_noise(seed: int) -> pd.DataFrame:
    """An IsoFLOP grid whose noise falls with compute, from 2% to 0.36%."""
    N, D = isoflop()
    C = 6 * N * D
    return simulate(N, D, 0.02 * (C / C.min()) ** -0.25, seed)


def unidentified(found: LawFit) -> set[str]:
    """Parameters that the fit says it cannot tell."""
    return {name for name, told in found.identified.items() if not told}


@pytest.mark.slow
@pytest.mark.parametrize("design", [isoflop, spread])
@pytest.mark.parametrize("name", TRUTH)
class TestEveryLaw:
    def test_without_noise(self, name: str, design: Design) -> None:
        truth = TRUTH[name]
        found = fit(table_of(simulate(*design(), 0.0, 0, name)), dataclasses.replace(FAST, law=name))
        np.testing.assert_allclose(found.params_P, truth, rtol=1e-4)
        assert found.trusted

    def test_with_one_percent_noise(self, name: str, design: Design) -> None:
        """The surface is found to within what the noise leaves: rms error twice sd sqrt(P/R) at most."""
        truth = TRUTH[name]
        frame = simulate(*design(), 0.01, 1, name)
        table = table_of(frame)
        found = fit(table, dataclasses.replace(FAST, law=name))
        assert found.certificate is not None
        assert found.certificate.status == "certified"
        if name == "kaplan_compute":  # the envelope of noisy runs lies below the true one
            assert found.params["alpha_C"] == pytest.approx(truth[1], rel=0.15)
            return
        inputs = [table.N_R, table.D_R]
        if name == "muennighoff":
            inputs.append(frame["n_tokens_unique"].to_numpy())
        there = evaluate(find_law(name), truth, *inputs)
        error = np.log(found.predict(*inputs) / there)
        assert np.sqrt(np.mean(error**2)) < 2 * 0.01 * np.sqrt(len(truth) / len(table))


@pytest.mark.parametrize("seed", range(2))
def test_noise_that_falls_with_compute(seed: int) -> None:
    found = fit(table_of(falling_noise(seed)), FAST)
    assert found.exponents["a"] == pytest.approx(EXPONENT, abs=0.04)
    assert found.trusted


def test_outliers_move_huber_far_less_than_least_squares() -> None:
    """5% of runs 20% too high: over six tables Huber's error in the exponent is at most a third."""
    errors = {loss: [] for loss in ("huber", "mse")}
    for seed in range(6):
        table = table_of(with_outliers(seed))
        for loss, found in errors.items():
            a = fit(table, dataclasses.replace(FAST, loss=loss)).exponents["a"]
            assert a is not None
            found.append(abs(a - EXPONENT))
    assert max(errors["huber"]) < 0.015
    assert np.mean(errors["huber"]) < np.mean(errors["mse"]) / 3


def check_good(name: str, sd: float, seeds: range) -> None:
    """On every table of this design all is told, the optimum is certified, and nothing is left to run."""
    for seed in seeds:
        found = fit(table_of(simulate(*GOOD[name](), sd, seed)), FAST)
        assert unidentified(found) == set(), f"seed {seed}"
        assert found.trusted, f"seed {seed}: {found.certificate}"
        assert found.next_runs == ()


@pytest.mark.parametrize("name", GOOD)
def test_a_good_design_is_not_called_unidentified(name: str) -> None:
    check_good(name, 0.01, range(3))


@pytest.mark.slow
@pytest.mark.parametrize("sd", [0.002, 0.01])
@pytest.mark.parametrize("name", GOOD)
def test_a_good_design_is_never_called_unidentified(name: str, sd: float) -> None:
    check_good(name, sd, range(3, 23))


def check_bad(name: str, seeds: range) -> None:
    """Every table of this bad design is called so, with a reason and a run that would help."""
    design, lost = BAD[name]
    for seed in seeds:
        sd, loss = (0.002, 0.01)[seed % 2], ("huber", "mse")[seed // 2 % 2]
        found = fit(table_of(simulate(*design(), sd, seed)), dataclasses.replace(FAST, loss=loss))
        assert lost <= unidentified(found), f"seed {seed}, sd {sd}, {loss}"
        assert not found.trusted
        assert any("identified" in line or "too few runs" in line for line in found.warnings)
        assert found.next_runs or any("no run of the largest one's price" in line for line in found.warnings)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_design_is_called_so(name: str) -> None:
    check_bad(name, range(1, 3))


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_a_bad_design_is_always_called_so(name: str) -> None:
    check_bad(name, range(3, 27))


def follow_advice(frame: pd.DataFrame, sd: float, seed: int, rounds: int) -> tuple[LawFit, RunTable]:
    """Fit, run what the fit says to run next, and fit again, up to so many rounds."""
    table = table_of(frame)
    found = fit(table, FAST)
    for turn in range(rounds):
        if not unidentified(found):
            break
        assert found.next_runs
        N, D = (np.array([run[key] for run in found.next_runs]) for key in ("n_params", "n_tokens"))
        assert np.all(np.abs(np.log(D / N / 20)) > np.log(3)), "advice on the line itself"
        assert np.all(1.1 * table.C_R.max() >= 6 * N * D), "advice beyond the table's compute"
        frame = pd.concat([frame, simulate(N, D, sd, 1000 * (turn + 1) + seed)], ignore_index=True)
        table = table_of(frame)
        found = fit(table, FAST)
    return found, table


@pytest.mark.parametrize(("sd", "rounds"), [(0.0, 1), (0.002, 2), (0.01, 3)])
@pytest.mark.parametrize("seed", range(2))
def test_the_runs_it_asks_for_cure_a_line(sd: float, rounds: int, seed: int) -> None:
    """D = 20 N: a handful of further runs, off the line and no dearer than the dearest, tell all."""
    found, table = follow_advice(simulate(*line(), sd, seed), sd, seed, rounds)
    assert unidentified(found) == set()
    assert len(table) <= 40 + 2 * rounds
    assert found.exponents["a"] == pytest.approx(EXPONENT, abs=1e-4 if sd == 0 else 12 * sd)


def coverage(make: Callable[[int], pd.DataFrame], tables: int, options: FitOptions) -> np.ndarray:
    """Share of tables whose intervals hold the truth: of the five parameters, and of the exponent a."""
    truth = np.append(BESIROGLU, EXPONENT)
    hits = np.zeros(len(truth))
    for seed in range(tables):
        found = fit(table_of(make(seed)), dataclasses.replace(options, seed=seed)).intervals
        assert found is not None
        spans = [*(found.params[name] for name in NAMES), found.exponents["a"]]
        low = np.array([-np.inf if span[0] is None else span[0] for span in spans])
        high = np.array([np.inf if span[1] is None else span[1] for span in spans])
        hits += (low <= truth) & (truth <= high)
    return hits / tables


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["even", "falling with compute"])
def test_coverage_of_bootstrap_intervals(noise: str) -> None:
    """80% intervals over 60 IsoFLOP grids: 60 to 97% hold the truth (five standard errors, rounded)."""

    def make(seed: int) -> pd.DataFrame:
        return simulate(*isoflop(), 0.01, seed) if noise == "even" else falling_noise(seed)

    share = coverage(make, 60, FitOptions(bootstrap=200, starts=8, level=0.8))
    assert np.all((share >= 0.6) & (share <= 0.97)), share


@pytest.mark.slow
def test_coverage_of_profile_intervals() -> None:
    """80% intervals from least squares over 12 IsoFLOP grids: at least half hold the truth (the .4% tail)."""
    options = FitOptions(bootstrap=20, starts=8, level=0.8, intervals="profile", loss="mse")
    share = coverage(lambda seed: simulate(*isoflop(), 0.01, seed), 12, options)
    assert np.all(share >= 0.5), share
    assert share.mean() < 0.99, share
