"""The figure of docs/laws-measured/low-rank.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis

RESULTS = Path(__file__).parents[1] / "results" / "low-rank"
WIDTHS = {16: NEUTRAL, 24: ACCENT, 40: INK}
"""Colours by width."""
WIDTH = 24
"""The size whose losses are drawn by tokens."""
METHODS = (
    ("adapters", 1, SOFT, "rank 1"),
    ("adapters", 4, NEUTRAL, "rank 4"),
    ("adapters", 16, ACCENT, "rank 16"),
    ("full", 0, INK, "full tuning"),
)


def draw() -> Figure:
    """Draw the loss by tuning text at one size, what adapters lack of full tuning by rank, and what matrices
    of low rank cost beside pruned ones."""
    table: Any = pd.read_csv(RESULTS / "adapters.csv")
    figure, (tokens, ranks, shares) = canvas(12.0, 3.8, columns=3)
    for method, rank, colour, name in METHODS:
        runs = table[(table["method"] == method) & (table["rank"] == rank) & (table["d_model"] == WIDTH)]
        tokens.plot(runs["tuning_tokens"], runs["loss"], "o", color=colour, ms=3.5)
        mean = runs.groupby("tuning_tokens")["loss"].mean()
        tokens.plot(mean.index, mean, color=colour, lw=1.5, label=name)
    log_axis(tokens, "x", 3e3, 9e4, "bytes of French tuned on", "{:,.0f}".format)
    tokens.set_ylabel(f"loss on French at width {WIDTH}, nats per byte")
    tokens.legend(fontsize=8, frameon=False)
    longest = table[table["tuning_tokens"] == table["tuning_tokens"].max()]
    full = longest[longest["method"] == "full"].set_index("cell_id")["loss"]
    beside = longest[longest["method"] == "adapters"]
    beside = beside.assign(lacks=beside["loss"] - beside["cell_id"].map(full))
    for width, colour in WIDTHS.items():
        runs = beside[beside["d_model"] == width]
        ranks.plot(runs["rank"], runs["lacks"], "o", color=colour, ms=3.5)
        mean = runs.groupby("rank")["lacks"].mean()
        ranks.plot(mean.index, mean, color=colour, lw=1.5, label=f"width {width}")
    ranks.axhline(0, color=SOFT, lw=1)
    log_axis(ranks, "x", 0.8, 20, "rank of the adapters", "{:g}".format)
    ranks.set_xticks([1, 4, 16], ["1", "4", "16"])
    ranks.set_ylabel("nats per byte above full tuning")
    ranks.legend(fontsize=8, frameon=False)
    for name, style, words in (("pruning", "-o", "pruned"), ("low-rank", "--s", "low rank")):
        change: Any = pd.read_csv(RESULTS / f"{name}.csv")
        for width, colour in WIDTHS.items():
            mean = change[change["d_model"] == width].groupby("sparsity")["loss_increase"].mean()
            shares.plot(
                mean.index, mean, style, color=colour, lw=1.2, ms=3.5, label=f"{words}, width {width}"
            )
    log_axis(shares, "y", 5e-4, 4, "rise of the loss, nats per byte", "{:g}".format)
    shares.set_xlabel("share of each matrix' numbers saved")
    shares.legend(fontsize=7, frameon=False)
    return figure
