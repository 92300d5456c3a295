"""The figure of docs/laws-measured/distillation.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from isoflop.analysis import load_runs
from isoflop.analysis.figures.style import INK, NEUTRAL, SOFT, canvas, log_axis

DISTILLATION = "measured:distillation"
LONGER = Path(__file__).parents[1] / "results" / "quantization" / "quantization.csv"
"""Has the same widths without a teacher at a budget three times as large."""
WIDTHS = ((16, SOFT), (24, NEUTRAL), (32, INK))
BUDGETS = ((3e10, "o"), (9e10, "s"))
PLACES = ["d_model", "budget"]


def students() -> pd.DataFrame:
    """Means over seeds of the students under each teacher at each width and budget: `loss`, that of the same
    students alone (`supervised_loss`), and `total`, FLOPs with the teacher's forward passes."""
    frame = load_runs(DISTILLATION, law="busbridge", where="teacher!=").frame
    frame = frame.assign(total=frame["flops"] + frame["n_tokens"] * frame["teacher_token_flops"])
    keys = ["teacher_loss", "teacher_flops", *PLACES]
    return frame.groupby(keys)[["loss", "supervised_loss", "flops", "total"]].mean().reset_index()


def alone() -> pd.DataFrame:
    """Means over seeds of the losses without a teacher, by width and FLOPs, up to 2.7e11 FLOPs."""
    rows = load_runs(DISTILLATION).frame
    rows = rows[rows["teacher"].isna()]
    longer = pd.read_csv(LONGER).query("bits_post == 8 and d_model <= 32 and flops > 1e11")
    longer = longer.assign(loss=longer["loss"] - longer["loss_increase"])
    columns = ["d_model", "flops", "loss"]
    both = pd.concat([rows[columns], longer[columns]])
    return both.groupby(["d_model", "flops"])["loss"].mean().reset_index()


def loss_alone(width: int, flops: np.ndarray) -> np.ndarray:
    """The loss without a teacher at some FLOPs, between measured ones by straight lines over log FLOPs."""
    own = alone().query("d_model == @width")
    return np.interp(np.log(flops), np.log(own["flops"]), own["loss"], right=np.nan)


def draw() -> Figure:
    """Draw students' losses by their teacher's, and by FLOPs with those of the teacher."""
    found, plain = students(), alone()
    figure, (by_teacher, by_flops) = canvas(9.0, 3.8, columns=2)
    for width, colour in WIDTHS:
        for budget, marker in BUDGETS:
            own = found[(found["d_model"] == width) & (found["budget"] == budget)]
            label = f"width {width}" if marker == "s" else None
            by_teacher.plot(own["teacher_loss"], own["loss"], f"{marker}-", color=colour, ms=5, label=label)
            by_teacher.axhline(own["supervised_loss"].iloc[0], color=colour, lw=0.8, ls="--")
            by_flops.plot(own["total"], own["loss"], marker, color=colour, mfc="none", ms=6)
        own = plain[plain["d_model"] == width]
        by_flops.plot(
            own["flops"], own["loss"], "o-", color=colour, ms=4, lw=1.5, label=f"width {width}, alone"
        )
    by_teacher.invert_xaxis()
    by_teacher.set_xlabel("the teacher's loss: better teachers to the right")
    by_teacher.set_ylabel("held-out loss of the student, nats per byte")
    by_teacher.legend(fontsize=8, frameon=False)
    log_axis(by_flops, "x", 2.5e10, 3.2e11, "FLOPs, the teacher's forward passes included")
    by_flops.set_ylabel("held-out loss, nats per byte")
    by_flops.plot([], [], "o", color=INK, mfc="none", ms=6, label="distilled, of the same colour")
    by_flops.legend(fontsize=8, frameon=False)
    return figure
