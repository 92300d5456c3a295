"""docs/laws-measured/zipf.md says what the tables in docs/results/zipf give."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import fit, load_runs
from tests.docs.commands import ROOT

PAGE = (ROOT / "docs" / "laws-measured" / "zipf.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())
RESULTS = ROOT / "docs" / "results" / "zipf"


def table(name: str) -> Any:
    """The rows of all facts, a model each, with how often the first fact was seen."""
    rows: Any = pd.read_csv(RESULTS / f"{name}.csv")
    first = rows[rows["ranks"] == "1"].set_index("cell_id")["seen"]
    models = rows[rows["ranks"] == "all"].sort_values(["d_model", "n_tokens", "init_seed"])
    return models.assign(wrong=1 - models["accuracy"], first_seen=models["cell_id"].map(first))


def test_the_table_is_that_of_the_models() -> None:
    size = ["d_model", "n_tokens"]
    facts = [runs for _, runs in table("recall").groupby(size)]
    alike = [runs for _, runs in table("alike").groupby(size)]
    number = r"(\.?\d[\d,]*)"
    cells = [*[number] * 4, f"{number}, {number}", *[number] * 3]
    rows = re.findall(r"^\| " + r" \| ".join(cells) + r" \|$", PAGE, re.MULTILINE)
    assert len(rows) == len(facts) == 12
    for row, runs, control in zip(rows, facts, alike, strict=True):
        width, tokens, wrong, loss, *known, seen, held, unlearnt = (float(x.replace(",", "")) for x in row)
        assert set(runs["d_model"]) == set(control["d_model"]) == {width}
        assert set(runs["n_tokens"]) == {tokens}
        assert runs["wrong"].mean() == pytest.approx(wrong, abs=6e-4)
        assert runs["loss"].mean() == pytest.approx(loss, abs=6e-4)
        assert list(runs["rank_known"]) == known
        assert runs["first_seen"].mean() * np.mean(known) ** -1.5 == pytest.approx(seen, abs=0.6)
        assert (runs["bits"] / runs["n_params_total"]).mean() == pytest.approx(held, abs=6e-4)
        assert control["wrong"].mean() == pytest.approx(unlearnt, abs=6e-4)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("rank_known", r"rank known grows as N^(.\d+) ± (.\d+) D^(.\d+) ± (.\d+)"),
        ("wrong", r"wrong answers as N^-(.\d+) ± (.\d+) D^-(.\d+) ± (.\d+)"),
        ("loss", r"the loss as N^-(.\d+) ± (.\d+) D^-(.\d+) ± (.\d+)"),
    ],
)
def test_powers_of_size_and_tokens(column: str, words: str) -> None:
    """By least squares in the logarithms, with standard errors."""
    runs = table("recall")
    X = np.log(np.stack([np.full(len(runs), np.e), runs["n_params_non_embedding"], runs["n_tokens"]], axis=1))
    y = np.log(runs[column].to_numpy(dtype=float))
    found, squares, *_ = np.linalg.lstsq(X, y, rcond=None)
    error = np.sqrt(squares[0] / (len(y) - 3) * np.diag(np.linalg.inv(X.T @ X)))
    [printed] = re.findall(words.replace("^", r"\^"), WORDS)
    measured = np.stack([np.abs(found[1:]), error[1:]], axis=1).ravel()
    assert measured == pytest.approx([float(x) for x in printed], abs=6e-3)


def test_the_exponent_of_the_rank_by_seed() -> None:
    runs = table("recall")
    logs = np.log(runs[["n_tokens", "rank_known"]].astype(float)).assign(
        d_model=runs["d_model"], seed=runs["init_seed"]
    )
    slopes = [
        np.polyfit(one["n_tokens"], one["rank_known"], 1)[0] for _, one in logs.groupby(["seed", "d_model"])
    ]
    assert len(slopes) == 6
    [(low, high)] = re.findall(r"between (\.\d+) and (\.\d+) by width and seed", WORDS)
    assert (min(slopes), max(slopes)) == pytest.approx((float(low), float(high)), abs=6e-3)
    [means] = re.findall(r"(\.\d+) under one seed and (\.\d+) under the other", WORDS)
    assert (np.mean(slopes[:3]), np.mean(slopes[3:])) == pytest.approx(tuple(map(float, means)), abs=6e-3)


@pytest.mark.slow
def test_the_law_misses_the_runs_as_the_page_says() -> None:
    """Its exponent and its misfit; the interval is what the page's command prints."""
    runs = load_runs(RESULTS / "recall.csv", law="quantization", where="ranks=all", metric="accuracy")
    found = fit(runs, law="quantization", fix=("E=0",), bootstrap=0, starts=32)
    [(alpha, p_value)] = re.findall(r"with alpha (\.\d+) \[.*?misses the runs \(p = (\S+)\)", WORDS)
    assert found.params["alpha"] == pytest.approx(float(alpha), abs=6e-3)
    assert found.misfit is not None
    assert found.misfit.p_value == pytest.approx(float(p_value), rel=0.5)


def test_the_control_learns_nearly_nothing_and_then_much() -> None:
    runs = table("alike").query("d_model == 16").groupby("n_tokens")["wrong"].mean().to_numpy()
    [printed] = re.findall(r"by factors of (\d\.\d+), (\.\d+) and (\.\d+):", WORDS)
    assert runs[1:] / runs[:-1] == pytest.approx([float(x) for x in printed], abs=6e-3)


def test_every_model_knows_the_first_ranks_and_guesses_the_last() -> None:
    rows: Any = pd.read_csv(RESULTS / "recall.csv")
    classes = rows[rows["ranks"] != "all"]
    assert classes[classes["rank_high"] <= 7]["accuracy"].min() == 1
    last = classes[classes["rank_low"].between(256, 2048)]
    assert last[last["rank_low"] >= 512]["accuracy"].max() < 0.04
    unknown = last[last["accuracy"] < 0.05]["loss"]
    [(low, high)] = re.findall(r"hardly known lose (\d) to (\d) nats", WORDS)
    assert round(unknown.min()) == int(low)
    assert round(unknown.max()) == int(high)
    for name, most in (("recall", r"hold (\.\d+) at most"), ("alike", r"In the control it is (\.\d+)")):
        held = table(name)["bits"] / table(name)["n_params_total"]
        assert held.max() == pytest.approx(float(re.findall(most, WORDS)[0]), abs=6e-3)
