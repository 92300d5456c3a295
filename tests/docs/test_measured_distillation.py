"""The page on distillation says what the committed tables hold."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from docs.draw_measured.distillation import loss_alone, students
from isoflop.sweeps.grids.config import load_config
from tests.docs.commands import ROOT

PAGE = ROOT / "docs" / "laws-measured" / "distillation.md"
TEACHERS = ROOT / "docs" / "results" / "distillation" / "teachers.csv"
ROW = re.compile(r"\| (\S+) \| (\d+) \| (\de10) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \|")


def test_every_row_is_what_the_table_gives() -> None:
    found = students()
    total = [
        float(loss_alone(int(w), np.array(c))) for w, c in zip(found["d_model"], found["total"], strict=True)
    ]
    found: Any = found.assign(
        gain=found["supervised_loss"] - found["loss"], after_forward=total - found["loss"]
    ).round({"teacher_loss": 3})
    printed = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert len(printed) == len(found) == 18
    columns = ["supervised_loss", "loss", "gain", "after_forward"]
    for teacher, width, budget, *numbers in printed:
        (own,) = found[
            (found["teacher_loss"] == float(teacher))
            & (found["d_model"] == int(width))
            & (found["budget"] == float(budget))
        ][columns].to_numpy()
        assert own == pytest.approx([float(number) for number in numbers], abs=6e-4)
    assert (found["loss"] > found["teacher_loss"]).all()
    better = found[found["teacher_loss"] < 2.0]
    wins = better[better["after_forward"] > 0].groupby("d_model").size()
    assert wins.to_dict() == {16: 1, 24: 3, 32: 4}
    assert better["gain"].min() > 0.025


def test_the_second_teacher_teaches_short_runs_more_in_every_pair() -> None:
    frame: Any = pd.read_csv(TEACHERS.with_name("runs.csv")).dropna(subset="teacher")
    losses = frame.pivot_table(
        index=["budget", "d_model", "init_seed"], columns="teacher_loss", values="loss"
    )
    best, second, _ = losses.columns
    gap = losses[best] - losses[second]
    budgets, widths = (gap.index.get_level_values(level) for level in ("budget", "d_model"))
    short = gap[(budgets == 3e10) & (widths > 16)]
    assert (len(short), (short > 0).all(), (gap.drop(short.index) < 0).all()) == (4, True, True)
    assert (short.min(), short.max()) == pytest.approx((0.004, 0.040), abs=6e-4)
    assert short.groupby("d_model").mean().tolist() == pytest.approx([0.022, 0.034], abs=6e-4)


def test_the_sweeps_teachers_are_those_of_the_table() -> None:
    frame: Any = pd.read_csv(TEACHERS)
    _, *named = load_config("cpu-distillation").axes[0].values
    assert named == [f"outputs/cpu-teachers:{cell_id}" for cell_id in frame["cell_id"]]
    assert frame["loss"].round(3).tolist() == [2.169, 1.933, 1.702]
