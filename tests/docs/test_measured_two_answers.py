"""docs/laws-measured/two-answers.md says what its tables give."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from isoflop.analysis import fit, load_runs
from tests.docs.commands import ROOT

PAGE = (ROOT / "docs" / "laws-measured" / "two-answers.md").read_text(encoding="utf-8")
SWITCHES = ["final_fraction", "trunk_span"]
RUN = ["budget", "d_model", "init_seed"]


def table(heading: str) -> dict[str, list[float]]:
    """The numbers of each row of the table below a heading, by its first words."""
    rows = re.findall(rf"^\| {re.escape(heading)}.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)[0]
    return {
        line.split("|")[1].strip(): [
            float(n.replace(",", "")) for n in re.findall(r"[\d,]*\.?\d+", line.split("|", 2)[2])
        ]
        for line in rows.splitlines()
    }


def test_the_exponent_by_what_is_counted() -> None:
    rows = table("N counts")
    for words, count in (
        ("blocks alone", "body"),
        ("blocks and head", "non_embedding"),
        ("all, embedding included", "total"),
    ):
        for place, flops in ((0, "6nd"), (3, "exact")):
            found = fit("measured:cpu-ladder", count=count, flops=flops, bootstrap=0).exponents["a"]
            assert found == pytest.approx(rows[words][place], abs=6e-4)


def test_the_exponent_and_the_minima_of_each_recipe() -> None:
    rows = table("recipe")
    for words, fraction, span in (
        ("own warm-up, decay (Chinchilla's)", 0, 4),
        ("one warm-up, decay", 0, 1_000_000),
        ("own warm-up, no decay", 1, 4),
        ("one warm-up, no decay (Kaplan's)", 1, 1_000_000),
    ):
        runs = load_runs("measured:two-recipes", where=f"final_fraction={fraction},trunk_span={span}")
        found = fit(runs, approach=2)
        assert found.intervals is not None
        assert [found.exponents["a"], *found.intervals.exponents["a"]] == pytest.approx(
            rows[words][:3], abs=2e-3
        )
        assert found.budgets is not None
        sizes = [budget.n_opt for budget in found.budgets if budget.flops > 1e11]
        assert sizes == pytest.approx(rows[words][3:], rel=5e-3)


def test_what_each_switch_does_to_a_run() -> None:
    frame: Any = load_runs("measured:two-recipes").frame
    assert (len(frame), frame["cell_id"].nunique()) == (160, 128)
    assert frame["flops_spent"].sum() == pytest.approx(1.10e13, rel=5e-3)
    losses = {key: runs.set_index(RUN)["loss"] for key, runs in frame.groupby(SWITCHES)}
    own = losses[0.0, 4.0]
    decay, warmup = ((losses[key] - own).groupby(level=[0, 1]).mean() for key in ((1.0, 4.0), (0.0, 1e6)))
    assert [decay.min(), decay.max()] == pytest.approx([0.016, 0.141], abs=6e-4)
    lowest, second, *_ = sorted(frame["budget"].unique())
    assert warmup[lowest, 48] == pytest.approx(0.080, abs=6e-4)
    assert warmup[second, 32] == pytest.approx(-0.030, abs=6e-4)
    short = frame[(frame["budget"] == lowest) & (frame["d_model"] == 48)]["n_tokens"]
    assert np.unique(short) == pytest.approx([72e3, 72e3][: len(np.unique(short))], rel=6e-3)
