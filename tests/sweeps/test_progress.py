"""What a terminal of 80 columns shows of a stage: nothing wraps, so that nothing is left behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from isoflop.sweeps.grids import stages
from isoflop.sweeps.progress.console import StageProgress, TaskLine, draw
from isoflop.train.data.corpus import Corpus
from isoflop.train.result import unfinished
from isoflop.train.spec import CellSpec
from tests.support.made_up import row_of
from tests.support.small import small_recipe

WIDEST = TaskLine(1024, 1_234_567, 2_345_678, 12.345, 12.345)


@pytest.mark.parametrize("name", [stages.TUNING, stages.CHECK, f"{stages.RETRY} at 0.25 of the rate"])
@pytest.mark.parametrize("workers", [1, 100])
def test_a_stage_fits_on_a_small_terminal(corpus: Corpus, name: str, workers: int) -> None:
    cell = CellSpec(small_recipe(corpus), 100)
    row = replace(row_of(cell, "grid", "", unfinished(cell, corpus, "pending", "")), d_model=1024)
    statuses = {"finished": 12.3456, "diverged": None, "failed": None, "pending": None}
    rows = [
        replace(row, budget=budget * 1.25e11, status=status, loss=loss)
        for budget in range(1, 21)
        for status, loss in statuses.items()
    ]
    stage = StageProgress(name, 1.234e15, 0.5e15, 5900.0, workers, [WIDEST] * workers, rows)
    console = Console(width=80, height=24)
    lines = console.render_lines(draw(stage), pad=False)
    texts = ["".join(part.text for part in line).rstrip() for line in lines]
    assert len(texts) <= 23
    assert max(map(len, texts)) <= 80
    assert texts[0].startswith(name)
    assert texts[0].endswith("41%, about 2.4 h left")
    assert texts[1] == f"20 of 80 cells, 20 diverged, 20 failed; 1.23e+15 FLOPs; {workers} at work"
    assert sum(text.startswith("  width 1024, step 1,234,567") for text in texts) == min(workers, 8)
