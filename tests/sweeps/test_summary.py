"""The last lines of a sweep: what is doubtful comes first, and numbers have their intervals and methods."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from isoflop.sweeps.grids.rates import Rates
from isoflop.sweeps.grids.tuning import TunedRates
from isoflop.sweeps.progress.summary import (
    Dataset,
    Flops,
    RateRule,
    SweepSummary,
    summary_lines,
    write_summary,
)
from isoflop.sweeps.progress.table_files import RUNS, to_csv
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.rate_check import RateCheck
from isoflop.train.data.corpus import Corpus
from isoflop.train.result import unfinished
from isoflop.train.spec import CellSpec
from tests.support.made_up import row_of
from tests.support.small import small_recipe

FLOPS = Flops(
    grid=6 * 10**12, tuning=10**12, checks=10**12, total=8 * 10**12, fresh_cosine=10**13
)  # fmt: skip
QUIET = SweepSummary(
    config="",
    stages=(),
    flops=FLOPS,
    learning_rate=RateRule("0.1", TunedRates(Rates(0.1))),
    dataset=Dataset("text", "Text", "none", "bytes", 1000, None, "0"),
)


def folder(path: Path, corpus: Corpus, losses: tuple[float, ...] = (2.0, 1.9, 2.1), **summary: Any) -> Path:
    """A sweep of one budget at widths 8, 16, ..."""
    cell = CellSpec(small_recipe(corpus), 100)
    row = replace(row_of(cell, "grid", "", unfinished(cell, corpus, "finished", "")), budget=1e11)
    rows = [replace(row, loss=loss, d_model=8 * (k + 1)) for k, loss in enumerate(losses)]
    store = Store(path)
    store.write_text(RUNS, to_csv(rows))
    write_summary(store, replace(QUIET, **summary))
    return path


def test_a_quiet_sweep_says_its_cells_and_its_bill(corpus: Corpus, tmp_path: Path) -> None:
    assert summary_lines(folder(tmp_path, corpus)) == [
        "cells: 3 finished",
        "FLOPs: 8e+12; the grid 40% less than fresh runs",
    ]


def test_doubts_come_first(corpus: Corpus, tmp_path: Path) -> None:
    checks = (
        RateCheck(1e11, 8, 1.9, warning="half the rate is better"),
        RateCheck(1e12, 8, 1.8),
        RateCheck(1e13, 8, 1.7, warning="twice the rate is better"),
    )
    tuned = TunedRates(Rates(0.1), warnings=("width 8 is best at the edge of its rates",))
    rate = RateRule(str(tuned.rates), tuned, checks)
    lines = summary_lines(folder(tmp_path, corpus, losses=(1.9, 2.0, 2.1), learning_rate=rate))
    assert [line.partition(":")[0] for line in lines] == ["look at"] * 4 + ["cells", "FLOPs"]
    assert [line.partition(": ")[2] for line in lines[:3]] == [
        "width 8 is best at the edge of its rates",
        "half the rate is better",
        "twice the rate is better",
    ]
    assert "the smallest width, 8, is best" in lines[3]


def test_the_best_size_is_that_of_the_mean_over_seeds(corpus: Corpus, tmp_path: Path) -> None:
    """One good seed at the edge is no minimum at the edge."""
    cell = CellSpec(small_recipe(corpus), 100)
    row = replace(row_of(cell, "grid", "", unfinished(cell, corpus, "finished", "")), budget=1e11)
    losses = {8: (1.8, 2.2), 16: (1.9, 1.9), 24: (2.1, 2.1)}
    rows = [replace(row, loss=loss, d_model=width) for width, own in losses.items() for loss in own]
    store = Store(folder(tmp_path, corpus))
    store.write_text(RUNS, to_csv(rows))
    assert not [line for line in summary_lines(tmp_path) if line.startswith("look at")]


def test_an_adaptive_sweep_names_target_method_level_and_warnings(corpus: Corpus, tmp_path: Path) -> None:
    last = {
        "estimate": 0.585,
        "interval": [0.565, 0.605],
        "why": "as wanted",
        "warnings": ["the law is in doubt"],
    }
    asked = {"target": "a", "level_at_a_look": 0.9875}
    lines = summary_lines(folder(tmp_path, corpus, rounds=(last,), adaptive=asked))
    assert lines[0] == "look at: the law is in doubt"
    assert lines[1].startswith(
        "a = 0.585 [0.565, 0.605] at 98.75% by least squares with trunk effects, after 1"
    )


def test_a_grid_dearer_than_fresh_runs_is_not_called_a_saving(corpus: Corpus, tmp_path: Path) -> None:
    assert summary_lines(folder(tmp_path, corpus, flops=replace(FLOPS, grid=11 * 10**12)))[-1].endswith(
        "10% more than fresh runs"
    )
    assert summary_lines(folder(tmp_path, corpus, flops=replace(FLOPS, grid=10**13)))[-1] == "FLOPs: 8e+12"
