"""The figure of docs/laws-measured/context.md."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from isoflop.analysis import load_runs
from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis

POSITIONS = Path(__file__).parents[1] / "results" / "context" / "positions.csv"
CONTEXTS = (16, 32, 64, 128, 256)
SHOWN = ((16, SOFT), (32, ACCENT), (128, NEUTRAL), (256, INK))
"""Contexts whose loss by position is drawn: that of 64 lies on the others."""


def draw() -> Figure:
    """Draw the loss on one text by context length, and by position, at width 16."""
    frame = load_runs("measured:context").frame[["cell_id", "context_length", "budget"]]
    positions = pd.read_csv(POSITIONS).merge(frame, on="cell_id")
    figure, (whole, place) = canvas(9.0, 3.8, columns=2)
    for budget, colour in ((3e10, NEUTRAL), (6e10, INK)):
        runs = positions[positions["budget"] == budget].groupby(["context_length", "init_seed"])
        losses = runs["loss"].mean().reset_index()
        name = f"{budget:.0e} FLOPs".replace("e+", "e")
        whole.plot(losses["context_length"], losses["loss"], "o", color=colour, ms=4)
        mean = losses.groupby("context_length")["loss"].mean()
        whole.plot(mean.index, mean, color=colour, lw=1.5, label=name)
    for context, colour in SHOWN:
        here = positions[(positions["budget"] == 6e10) & (positions["context_length"] == context)]
        loss = here.groupby("position")["loss"].mean()
        # Means over stretches that double: single positions are noise.
        edges = [1, 2, 3, 5, 9, 17, 33, 65, 129, 257]
        stretches = [(a, b) for a, b in pairwise(edges) if b <= context + 1]
        centres = [((a * (b - 1)) ** 0.5) for a, b in stretches]
        means = [loss.loc[a : b - 1].mean() for a, b in stretches]
        place.plot(centres, means, "o-", color=colour, lw=1.5, ms=3, label=f"windows of {context}")
    log_axis(whole, "x", 14, 290, "bytes of a window", "{:g}".format)
    whole.set_xticks(CONTEXTS, [str(context) for context in CONTEXTS])
    whole.set_ylabel("held-out loss, nats per byte")
    whole.legend(fontsize=8, frameon=False, loc="upper left")
    log_axis(place, "x", 0.9, 256, "bytes before the one predicted", "{:g}".format)
    place.set_ylabel("held-out loss at 6e10 FLOPs, nats per byte")
    place.legend(fontsize=8, frameon=False)
    return figure
