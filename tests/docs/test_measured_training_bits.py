"""docs/laws-measured/training-bits.md says what the table in docs/results/training-bits gives."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from isoflop.analysis import FitOptions, fit, load_runs
from tests.docs.commands import ROOT

PAGE = (ROOT / "docs" / "laws-measured" / "training-bits.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())
TABLE = "measured:training-bits"
BITS = (4, 3, 2)


@pytest.fixture(scope="module")
def frame() -> Any:
    """The committed runs."""
    return load_runs(TABLE).frame


@pytest.fixture(scope="module")
def rises(frame: Any) -> Any:
    """Nats above the run with full weights of the same width, budget and seed, a column a number of bits."""
    losses = frame.pivot_table(index=["d_model", "budget", "init_seed"], columns="weight_bits", values="loss")
    return losses.sub(losses[0], axis=0)


def test_the_page_says_what_few_bits_added_to_the_loss(frame: Any, rises: Any) -> None:
    full = frame[frame["weight_bits"] == 0].groupby(["d_model", "budget"])[["n_tokens", "loss"]].mean()
    means = rises.groupby(["d_model", "budget"]).mean()
    rows = re.findall(r"\| (\d+) \| ([\d,]+) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \|", PAGE)
    assert len(rows) == len(full)
    for row, (at, measured) in zip(rows, full.iterrows(), strict=True):
        width, tokens, loss, *more = (float(x.replace(",", "")) for x in row)
        assert (width, tokens) == (at[0], measured["n_tokens"])
        assert measured["loss"] == pytest.approx(loss, abs=6e-4)
        assert [means.loc[at, bits] for bits in BITS] == pytest.approx(more, abs=6e-4)


def test_the_page_says_what_more_tokens_added(rises: Any) -> None:
    rows = re.findall(r"\| (\d) bits \| (\S+) ± (\S+) \| (\S+) ± (\S+) \| (\d) of 6 \|", PAGE)
    assert [int(row[0]) for row in rows] == list(BITS)
    for bits, *numbers, positive in rows:
        here = rises[int(bits)]
        low, high = (here.xs(budget, level="budget") for budget in (4e10, 1.2e11))
        grown = np.asarray(high) - np.asarray(low)
        found = [here.mean(), error(here), grown.mean(), error(grown)]
        assert found == pytest.approx(list(map(float, numbers)), abs=6e-4)
        assert (grown > 0).sum() == int(positive)


def test_the_page_says_how_the_cost_grows_with_size_and_tokens(frame: Any, rises: Any) -> None:
    at = frame.groupby(["d_model", "budget"])[["n_params_non_embedding", "n_tokens"]].first()
    design = np.log(np.asarray(at.loc[[key[:2] for key in rises.index]], float))
    design = np.column_stack([np.ones(len(design)), design])
    rows = re.findall(r"as N\^(\.\d+) ± (\.\d+) D\^(\.\d+) ± (\.\d+) in (\w+)", WORDS)
    assert [row[-1] for row in rows] == ["two", "three"]
    for bits, row in zip((2, 3), rows, strict=True):
        grown = np.log(np.asarray(rises[bits]))
        slopes, squares, *_ = np.linalg.lstsq(design, grown, rcond=None)
        covariance = np.linalg.inv(design.T @ design) * squares[0] / (len(grown) - 3)
        found = [x for i in (1, 2) for x in (slopes[i], covariance[i, i] ** 0.5)]
        assert found == pytest.approx(list(map(float, row[:4])), abs=6e-3)


def error(values: Any) -> float:
    """The standard error of the mean."""
    return float(np.std(np.asarray(values), ddof=1) / len(values) ** 0.5)
