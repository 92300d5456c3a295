"""The figure of docs/laws-measured/zipf.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis

RESULTS = Path(__file__).parents[1] / "results" / "zipf"
SIZES = {8: NEUTRAL, 16: ACCENT, 32: INK}
"""Colours by width."""


def draw() -> Figure:
    """Draw the share of wrong answers by tokens, and the accuracy by rank, a line a number of tokens."""
    zipf: Any = pd.read_csv(RESULTS / "recall.csv")
    alike: Any = pd.read_csv(RESULTS / "alike.csv")
    figure, (wrong, ranks) = canvas(9.0, 3.8, columns=2)
    for width, colour in SIZES.items():
        for table, style, words in ((zipf, "-o", "Zipf"), (alike, "--s", "all alike")):
            runs = table[(table["ranks"] == "all") & (table["d_model"] == width)]
            mean = 1 - runs.groupby("n_tokens")["accuracy"].mean()
            wrong.plot(runs["n_tokens"], 1 - runs["accuracy"], style[-1], color=colour, ms=3)
            wrong.plot(mean.index, mean, style[:-1], color=colour, lw=1.2, label=f"width {width}, {words}")
    D = np.array([1.2e4, 9e5])
    wrong.plot(D, 0.24 * (D / D[0]) ** -0.37, ":", color=INK, lw=1, label="as $D^{-.37}$, predicted")
    log_axis(wrong, "x", 1e4, 1.1e6, "tokens", "{:.0e}".format)
    log_axis(wrong, "y", 0.05, 1.1, "share of answers that are wrong", "{:g}".format)
    wrong.set_yticks([0.05, 0.1, 0.2, 0.5, 1], ["0.05", "0.1", "0.2", "0.5", "1"])
    wrong.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(0.01, 0.7), ncols=2)
    classes = zipf[(zipf["ranks"] != "all") & (zipf["d_model"] == 16)]
    for colour, (tokens, runs) in zip((NEUTRAL, SOFT, ACCENT, INK), classes.groupby("n_tokens"), strict=True):
        mean = runs.groupby("rank_low")[["rank_high", "accuracy"]].mean()
        middle = np.sqrt(mean.index * mean["rank_high"])
        ranks.plot(middle, mean["accuracy"], "-o", color=colour, ms=3.5, lw=1.2, label=f"{tokens:,} tokens")
    log_axis(ranks, "x", 0.9, 5000, "rank of the fact", "{:g}".format)
    ranks.set_ylabel("accuracy at width 16")
    ranks.legend(fontsize=8, frameon=False)
    return figure
