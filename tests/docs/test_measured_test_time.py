"""docs/laws-measured/test-time.md says what its tables do."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from docs.draw_measured.test_time import BUDGETS, RESULTS, curves, law, uniform
from isoflop.analysis import load_attempts, repeated_sampling
from tests.docs.commands import ROOT

TEXT = (ROOT / "docs" / "laws-measured" / "test-time.md").read_text(encoding="utf-8")
K = np.array([1, 4, 16, 64])
METHODS = {"best of N": "best-of", "weighted vote": "weighted"}
REWARDS = {"a fifth wrong": "corrupted"}
PROMPT, ANSWER = 5, 8
"""Ids of a problem, and of its steps."""


def rows(columns: int, first: str = "") -> list[list[str]]:
    """The page's rows of so many columns, without their headers."""
    lines = [line for line in TEXT.splitlines() if line.startswith(f"| {first}")]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in found if len(row) == columns]


def coverage_table() -> Any:
    return pd.read_csv(RESULTS / "coverage.csv")


def test_coverage_by_size_and_budget() -> None:
    found = curves()
    runs: Any = pd.read_csv(RESULTS / "runs.csv").groupby(["budget", "d_model"])["n_tokens"].first()
    attempts: Any = pd.read_csv(RESULTS / "attempts.csv")
    price = attempts.groupby("d_model")["test_flops"].first()
    fits = coverage_table()
    own = rows(9)
    own = [row for row in own if row[0] not in ("FLOPs", "---")]
    assert len(own) == 10
    assert [float(x) for x in own[0][4:8]] == pytest.approx(uniform()[K - 1], abs=5.1e-4)
    for row in own[1:]:
        budget, width = float(row[0]), int(row[1])
        mean = (found[budget, width, 0] + found[budget, width, 1]) / 2
        assert [float(x) for x in row[4:8]] == pytest.approx(mean[K - 1], abs=5.1e-4)
        assert int(row[2].replace(",", "")) == runs[budget, width]
        assert int(row[3].replace(",", "")) == price[width]
        near = (fits["d_model"] == width) & ((fits["flops"] / budget - 1).abs() < 0.01)
        betas = fits[near][["beta", "beta_low", "beta_high"]].to_numpy().ravel()
        assert [float(x) for x in re.findall(r"\d*\.\d+", row[8])] == pytest.approx(betas, abs=0.0051)


def test_every_law_is_refitted_and_its_back_tests_are_counted() -> None:
    found, fits = curves(), coverage_table()
    for fit in fits.to_dict("records"):
        budget = min(BUDGETS, key=lambda budget: abs(budget - fit["flops"]))
        again = law(found[budget, fit["d_model"], fit["init_seed"]])
        assert again.certificate.status == fit["certificate"] == "certified"
        assert again.exponent_B[0] == pytest.approx(fit["beta"], rel=1e-4)
    text = " ".join(TEXT.split())
    assert f"{fits['law_holds'].sum()} of {3 * len(fits)} such back-tests hold" in text
    assert f"holds in all {fits['tail_holds'].sum()}" in text
    hard = (fits["d_model"] == 40) & (fits["flops"] < 1e11)
    assert fits[hard]["law_holds"].sum() == 0
    misses = [fits[where][f"{name}_miss"].mean() for where in (~hard, hard) for name in ("tail", "law")]
    assert misses == pytest.approx([0.013, 0.007, 0.037, 0.112], abs=5.1e-4)
    assert "its mean miss is the larger one, .013 for the law's .007; at width 40 it is .037 for .112" in text


def test_the_command_of_the_page_gives_its_row() -> None:
    command = re.search(r"attempts\.csv --where \"(d_model=40.*)\" --k", TEXT)
    assert command
    found = repeated_sampling(load_attempts(RESULTS / "attempts.csv", where=command[1]))
    assert found.law
    assert found.tail
    fits = coverage_table()
    own = fits[(fits["d_model"] == 40) & (fits["flops"] < 1e11) & (fits["init_seed"] == 1)]
    [row] = own.to_dict("records")
    assert found.law.beta_interval == pytest.approx((row["beta_low"], row["beta_high"]), rel=0.01)
    assert found.tail.alpha_interval == pytest.approx((row["alpha_low"], row["alpha_high"]), rel=0.02)
    for method in ("law", "tail"):
        tests = [test for test in found.back_tests if test.method == method]
        assert sum(test.holds for test in tests) == row[f"{method}_holds"]
    law_tests = [test for test in found.back_tests if test.method == "law"]
    assert law_tests[0].measured == pytest.approx(0.51, abs=0.0051)
    assert [law_tests[0].predicted, law_tests[-1].predicted] == pytest.approx([0.41, 0.36], abs=0.0051)


def test_chance_beside_the_models() -> None:
    """Differences at k = 64 with intervals, problems unsolved, and those that chance solves better."""
    table: Any = pd.read_csv(RESULTS / "attempts.csv")
    chance_P = pd.read_csv(RESULTS / "problems.csv")["uniform_success"].to_numpy()
    at_9e10 = table[(table["flops"] > 8e10) & (table["flops"] < 1e11) & (table["d_model"] < 40)]
    left = at_9e10[at_9e10["c"] == 0].groupby(["d_model", "init_seed"]).size()
    assert set(left) == {5, 6}
    assert ((1 - chance_P) ** 64).sum() == pytest.approx(1.5, abs=0.051)
    rate = at_9e10.assign(worse=at_9e10["c"] / 64 < chance_P[at_9e10["problem"]])
    worse = rate.groupby(["d_model", "init_seed"])["worse"].mean()
    assert (worse.min(), worse.max()) == pytest.approx((0.13, 0.17), abs=0.0051)
    drawn = np.random.default_rng(0).integers(0, 128, (4000, 128))
    printed = re.findall(r"(-\.\d+)\s\[(-\.\d+),\s(-\.\d+)\] at width (\d+)", TEXT)
    assert [int(row[3]) for row in printed] == [16, 24]
    for mean, low, high, width in printed:
        own = at_9e10[at_9e10["d_model"] == int(width)]
        solved_P = (own["c"] > 0).groupby(own["problem"]).mean().to_numpy()
        difference_P = solved_P - (1 - (1 - chance_P) ** 64)
        assert difference_P.mean() == pytest.approx(float(mean), abs=6e-4)
        ends = np.quantile(difference_P[drawn].mean(axis=1), [0.025, 0.975])
        assert ends == pytest.approx([float(low), float(high)], abs=0.003)


def test_samples_for_training() -> None:
    found = curves()
    attempts: Any = pd.read_csv(RESULTS / "attempts.csv")
    forward = attempts.groupby("d_model")["test_flops"].first() / (PROMPT + ANSWER)
    own = rows(5, ".")
    assert [row[0] for row in own] == [".5", ".8", ".9", ".95"]
    for row in own:
        spent = []
        for cell, budget in zip(row[1:4], BUDGETS, strict=True):
            ways = []
            for width in (16, 24, 40):
                mean = (found[budget, width, 0] + found[budget, width, 1]) / 2
                enough = np.flatnonzero(mean >= float(row[0]))
                if len(enough):
                    k = int(enough[0]) + 1
                    ways.append((float(forward[width]) * (PROMPT + ANSWER * k), width, k))
            if not ways:
                assert not cell
                continue
            flops, width, k = min(ways)
            assert width == 16
            assert cell.endswith(f"({k})")
            assert flops == pytest.approx(float(cell.split()[0]), rel=0.006)
            spent.append(flops)
        assert np.log(spent[-2] / spent[-1]) / np.log(3) == pytest.approx(float(row[4]), abs=0.0051)
        if row[0] == ".5":
            assert np.log(spent[0] / spent[1]) / np.log(3) == pytest.approx(2.5, abs=0.051)


def test_search() -> None:
    table: Any = pd.read_csv(RESULTS / "search.csv")
    mean = table.groupby(["method", "reward", "d_model", "samples"])[["accuracy", "test_flops"]].mean()
    own = [row for row in rows(8) if row[0] not in ("method", "---")]
    assert len(own) == 9
    [head] = rows(8, "method")
    flops = [float(cell.split()[-1]) for cell in head[2:]]
    for row in own:
        method, reward = METHODS.get(row[0], row[0]), REWARDS.get(row[1], row[1])
        asked = zip(row[2:], [16] * 3 + [24] * 3, [1, 4, 16] * 2, flops, strict=True)
        for cell, width, samples, price in asked:
            if not cell:
                assert (method, samples) == ("beam", 1)
                continue
            found = mean.loc[(method, reward, width, samples)]
            assert found["accuracy"] == pytest.approx(float(cell), abs=6e-4)
            assert found["test_flops"] == pytest.approx(price, rel=0.03)
    assert table["accuracy_stderr"].max() == pytest.approx(0.044, abs=5.1e-4)
    best = table[(table["method"] == "best-of") & (table["reward"] == "learned")]
    by = best.pivot_table(index=["d_model", "init_seed"], columns="samples", values="accuracy")
    fall = by[4] - by[16]
    assert (fall.min(), fall.max()) == pytest.approx((0.04, 0.16), abs=0.0051)
    assert by[16].mean() < by[1].mean()
