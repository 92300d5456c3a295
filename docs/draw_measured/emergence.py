"""The figure of docs/laws-measured/emergence.md."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis

PLAIN_FILE = {"Software": None}
"""No version of the drawing program in the file: equal pictures are equal files."""
TABLE = Path(__file__).parents[1] / "results" / "emergence" / "exact-match.csv"
CHANCE = math.log(23) / 2
"""What a policy that draws values uniformly loses, nats per token."""
SIZES = {16: NEUTRAL, 24: SOFT, 32: INK, 48: ACCENT}
"""Colours by width."""
CHAINS = {1: NEUTRAL, 2: SOFT, 4: INK, 8: ACCENT}
"""Colours by length of chain."""


def draw(folder: Path) -> None:
    """Draw loss and exact match by compute, a line a seed, and exact match by accuracy per token."""
    table: Any = pd.read_csv(TABLE)
    longest = table[table["chain"] == max(CHAINS)]
    figure, (loss, match, link) = canvas(10.5, 3.6, columns=3)
    for width, colour in SIZES.items():
        runs = longest[longest["d_model"] == width]
        for seed, trained in runs.groupby("init_seed"):
            name = None if seed else f"width {width}"
            for axes, column in ((loss, "loss"), (match, "accuracy")):
                axes.plot(trained["budget"], trained[column], "-o", color=colour, ms=3, lw=1.2, label=name)
    loss.axhline(CHANCE, color=SOFT, lw=0.9, ls=":")
    loss.text(1.75e11, CHANCE * 1.15, "values drawn uniformly", color=SOFT, fontsize=7, ha="right")
    log_axis(loss, "y", 1e-4, 4, "loss of answers, nats per token", "{:g}".format)
    match.set_ylabel("exact match of 8 values")
    for axes in (loss, match):
        log_axis(axes, "x", 9e9, 1.8e11, "training FLOPs", "{:.0e}".format)
    loss.legend(fontsize=7, frameon=False, loc="lower left")
    line = np.array([0.0, 1.0])
    link.plot(line, line, ":", color=SOFT, lw=1)
    for chain, colour in CHAINS.items():
        runs = table[table["chain"] == chain]
        by_accuracy = runs["token_accuracy"] ** runs["tokens"]
        link.plot(by_accuracy, runs["accuracy"], "o", color=colour, ms=3.5, label=f"{2 * chain} tokens")
    by_loss = np.exp(-longest["tokens"] * longest["loss"])
    link.plot(by_loss, longest["accuracy"], "x", color=ACCENT, ms=4, label="16, by exp(-n loss)")
    link.set_xlabel("accuracy per token, to the power of tokens")
    link.set_ylabel("exact match")
    link.legend(fontsize=7, frameon=False, loc="lower right")
    figure.savefig(folder / "emergence.png", dpi=160, metadata=PLAIN_FILE)
