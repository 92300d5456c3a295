"""docs/laws-measured/training-bits.md says what the table in docs/results/training-bits gives."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

from docs.draw_measured import training_bits
from isoflop.analysis import load_runs
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


def refit(frame: Any, change: str, start: list[float]) -> Any:
    """The optimum near `start` of Huber losses of log residuals, by another solver than the fitter's.

    theta = (E, log A, log B at the middle of the runs, alpha, beta, then gamma or what each of 4, 3 and 2
    bits changes).
    """
    size, tokens = (np.log(np.asarray(frame[name], float)) for name in ("n_params_non_embedding", "n_tokens"))
    bits, loss = np.asarray(frame["weight_bits"]), np.log(np.asarray(frame["loss"]))

    def residuals(theta: Any) -> Any:
        E, a, b, alpha, beta, *own = theta
        if change == "gamma":
            share = np.log(-np.expm1(-np.where(bits > 0, bits, 32) / own[0]))
        else:
            share = sum(value * (bits == of) for of, value in zip(BITS, own, strict=True))
        n, d = (
            size - np.log(14_312) + share * (change in "gammaN"),
            tokens - np.log(5e5) + share * (change == "D"),
        )
        return np.log(E + np.exp(a - alpha * n) + np.exp(b - beta * d) + share * (change == "E")) - loss

    bounds = ([0, -9, -9, 0, 0, *[-5.0] * (len(start) - 5)], 9)
    return least_squares(residuals, start, bounds=bounds, loss="huber", f_scale=1e-3, x_scale="jac")


def test_the_page_says_how_well_each_law_fits(frame: Any) -> None:
    found = {
        "N, by one gamma (`kumar`)": refit(frame, "gamma", [1.54, -0.85, -2.0, 0.49, 0.85, 2.8]),
        "N, by a share for each": refit(frame, "N", [0.01, 0.75, -3.0, 0.1, 2.28, -0.13, -0.43, -1.16]),
        "D, by a share for each": refit(frame, "D", [1.1, -2.4, -0.1, 1.57, 0.13, -0.2, -0.8, -2.1]),
        "the loss, by a constant for each": refit(
            frame, "E", [1.75, -2.1, -1.6, 1.3, 0.55, 0.03, 0.09, 0.28]
        ),
    }
    rows = re.findall(r"\| (\S.*) \| (\d) \| (\.\d+) \| p [<=] \S+ \|", PAGE)
    assert [row[0] for row in rows] == list(found)
    for name, parameters, objective in rows:
        assert found[name].cost == pytest.approx(float(objective), abs=6e-6)
        assert len(found[name].x) == int(parameters)
    _, a, _, alpha, _, gamma = found["N, by one gamma (`kumar`)"].x
    drawn = [training_bits.A * 14_312**-training_bits.ALPHA, training_bits.ALPHA, training_bits.GAMMA]
    assert [np.exp(a), alpha, gamma] == pytest.approx(drawn, rel=1e-3)
    one, shares, _, constants = (each.x[5:] for each in found.values())
    assert f"gamma_w is {one[0]:.2f} [" in WORDS
    assert "{:.0%}, {:.0%} and {:.0%}".format(*np.exp(shares)) in WORDS
    written = re.search(r"The constants are (\S+), (\S+) and (\S+) nats", WORDS)
    assert written is not None
    assert list(constants) == pytest.approx(list(map(float, written.groups())), abs=6e-4)


def error(values: Any) -> float:
    """The standard error of the mean."""
    return float(np.std(np.asarray(values), ddof=1) / len(values) ** 0.5)
