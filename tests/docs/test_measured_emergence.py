"""docs/laws-measured/emergence.md says what the table in docs/results/emergence gives."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from docs.draw_measured.emergence import HOLDOUTS, second_step
from tests.docs.commands import ROOT

PAGE = (ROOT / "docs" / "laws-measured" / "emergence.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())
TABLE = ROOT / "docs" / "results" / "emergence" / "exact-match.csv"
CHAINS = (1, 2, 4, 8)


@pytest.fixture(scope="module")
def table() -> Any:
    """Every model and length of chain."""
    return pd.read_csv(TABLE).sort_values(["d_model", "init_seed", "flops"])


@pytest.fixture(scope="module")
def longest(table: Any) -> Any:
    """The chains of eight, a row a model."""
    return table[table["chain"] == 8]


def test_the_rows_of_one_width(table: Any) -> None:
    rows = re.findall(r"^\| (\d\.\de\d\d) \| ([\d,]+) \|" + r" (\d?\.\d+) \|" * 6 + "$", PAGE, re.MULTILINE)
    here = table[table["d_model"] == 24]
    assert [float(row[0]) for row in rows] == sorted(set(here["budget"]))
    for budget, tokens, loss, per_token, *exact in rows:
        runs = here[here["budget"] == float(budget)]
        whole = runs[runs["chain"] == 8]
        assert set(runs["n_tokens"]) == {int(tokens.replace(",", ""))}
        found = [whole["loss"].mean(), whole["token_accuracy"].mean()]
        found += [runs[runs["chain"] == k]["accuracy"].mean() for k in CHAINS]
        assert found == pytest.approx([float(x) for x in (loss, per_token, *exact)], abs=6e-4)


def crossing(flops: Any, share: Any, level: float) -> float:
    """FLOPs at which a rising share first comes to a level, along straight lines over log FLOPs."""
    above = int(np.argmax(share >= level))
    if above == 0:
        return math.nan
    ends = np.log(flops[above - 1 : above + 1])
    return float(np.exp(np.interp(level, share[above - 1 : above + 1], ends)))


def test_how_sharply_each_measure_comes(table: Any, longest: Any) -> None:
    shares = {
        "accuracy per token": (longest, lambda runs: (3 * runs["token_accuracy"] - 1) / 2),
        "loss per token": (longest, lambda runs: 1 - runs["loss"] / (math.log(23) / 2)),
    }
    for chain in CHAINS:
        rows = table[table["chain"] == chain]
        shares[f"{chain} value"] = (rows, lambda runs: runs["accuracy"])
    found = {}
    for name, (rows, share) in shares.items():
        trainings = [
            (runs["flops"].to_numpy(float), share(runs).to_numpy())
            for _, runs in rows.groupby(["d_model", "init_seed"])
        ]
        assert len(trainings) == 8
        found[name] = np.nanmedian([crossing(*one, 0.8) / crossing(*one, 0.2) for one in trainings])
    printed = re.findall(
        r"^\| (?:exact match of )?(accuracy per token|loss per token|\d value)[^|]* \| (\d\.\d) \|$",
        PAGE,
        re.MULTILINE,
    )
    assert {name: float(value) for name, value in printed} == pytest.approx(found, abs=0.06)


def test_the_local_exponents_of_the_loss(longest: Any) -> None:
    slopes = np.array([
        -np.diff(np.log(runs["loss"])) / np.diff(np.log(runs["flops"]))
        for _, runs in longest.groupby(["d_model", "init_seed"])
    ])  # fmt: skip
    [numbers] = re.findall(
        r"is (\.\d+) to (\.\d+) between the first two budgets, and ([\d.]+) to ([\d.]+) at", WORDS
    )
    early, most = slopes[:, 0], slopes.max(axis=1)
    measured = [early.min(), early.max(), most.min(), most.max()]
    assert measured == pytest.approx([float(x) for x in numbers], abs=0.06)


def test_models_with_none_right(longest: Any) -> None:
    none = longest[longest["accuracy"] == 0]
    [(models, loss, accuracy, most)] = re.findall(
        r"(\d+) models have none of .* as little as (\.\d+) .* up to (\.\d+): .* at most (\.\d+),",
        WORDS,
    )
    assert set(longest["problems"]) == {2048}
    assert len(none) == int(models)
    assert none["loss"].min() == pytest.approx(float(loss), abs=6e-3)
    assert none["token_accuracy"].max() == pytest.approx(float(accuracy), abs=6e-3)
    assert none["token_accuracy"].max() ** 16 == pytest.approx(float(most), abs=6e-5)


def test_exact_match_by_the_accuracy_per_token(table: Any, longest: Any) -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\S+) \| (\S+) \| (\S+) \|$", PAGE, re.MULTILINE)
    assert [int(row[0]) for row in rows] == [2 * k for k in CHAINS]
    for tokens, models, off, bias, by_loss in rows:
        runs = table[(table["tokens"] == int(tokens)) & table["accuracy"].between(0.01, 0.99)]
        assert len(runs) == int(models)
        less = runs["accuracy"] - runs["token_accuracy"] ** int(tokens)
        less_by_loss = runs["accuracy"] - np.exp(-int(tokens) * runs["loss"])
        measured = [less.abs().mean(), less.mean(), less_by_loss.mean()]
        assert measured == pytest.approx([float(off), float(bias), float(by_loss)], abs=6e-4)
    between = longest[longest["accuracy"].between(0.01, 0.99)]
    of_one = table[table["chain"] == 1].set_index("cell_id")["accuracy"]
    off = (between["cell_id"].map(of_one) ** 8 - between["accuracy"]).abs().mean()
    assert off == pytest.approx(float(re.findall(r"as well for eight \((\.\d+)\)", WORDS)[0]), abs=6e-4)
    times = -np.log(between["accuracy"]) / between["loss"]
    [ends] = re.findall(r"is (\d\.\d) to (\d\.\d) times the loss", WORDS)
    assert (times.min(), times.max()) == pytest.approx(tuple(map(float, ends)), abs=0.06)


def errors(by: str) -> list[float]:
    """The two columns of a row of the page's table of holdouts."""
    [row] = re.findall(rf"^\| [^|]* \| {re.escape(by)} \| (\.\d+) \| (\.\d+) \|$", PAGE, re.MULTILINE)
    return [float(x) for x in row]


def test_what_predicts_the_larger_models_without_a_fit(longest: Any) -> None:
    size, compute = longest["d_model"] == 48, longest["budget"] > 5e10
    found = {"p^16": longest["token_accuracy"] ** 16, "exp(-16 L)": np.exp(-16 * longest["loss"])}
    for by, values in found.items():
        off = (values - longest["accuracy"]).abs()
        assert [off[size].mean(), off[compute].mean()] == pytest.approx(errors(by), abs=6e-4)
    by_budget = longest[longest["d_model"] == 32].groupby("budget")["accuracy"].mean()
    by_width = longest[longest["budget"] == 4e10].groupby("d_model")["accuracy"].mean()
    naive = [
        (longest["budget"].map(by_budget) - longest["accuracy"])[size].abs().mean(),
        (longest["d_model"].map(by_width) - longest["accuracy"])[compute].abs().mean(),
    ]
    assert (size.sum(), compute.sum()) == (18, 32)
    printed = errors("width 32 at the same FLOPs; the last budget at the same width")
    assert naive == pytest.approx(printed, abs=6e-4)
    of_next = longest["budget"].map(longest[longest["d_model"] == 32].groupby("budget")["loss"].mean())
    off = np.exp(np.abs(np.log(of_next / longest["loss"]))[size].mean())
    assert off == pytest.approx(6, abs=0.8)  # "a factor of about six"
    shortest = longest[longest["d_model"] < 48]["n_tokens"].min()
    assert longest[size].groupby("budget")["n_tokens"].min().lt(shortest).sum() == 3


def test_what_fitted_laws_predict_of_the_larger_models(longest: Any) -> None:
    """Every row of the page is that of the table; one law is fitted anew here."""
    found: Any = pd.read_csv(TABLE.with_name("holdouts.csv"))
    for (loss, law), pair in found.groupby(["loss", "law"]):
        by = f"`{law}`" if loss == "measured" else f"`{loss}`, then `{law}`"
        assert list(pair["fitted"]) == list(HOLDOUTS)
        if (loss == "measured") or law in ("flp", "gadre_error"):
            printed = errors(f"{by} (FLP-M)" if "mixture" in law else by)
            assert list(pair["error"]) == pytest.approx(printed, abs=6e-4)
    larger = longest.query(HOLDOUTS["budget<5e10"])
    again = second_step("flp", "budget<5e10", {"": (larger["loss"].to_numpy(),)})[""]
    there = found.query("fitted == 'budget<5e10' and loss == 'measured' and law == 'flp'")["error"]
    assert np.abs(again - larger["accuracy"]).mean() == pytest.approx(float(there.iloc[0]), abs=1e-3)
