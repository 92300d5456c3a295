"""The figure of docs/laws-measured/allocation.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis

RESULTS = Path(__file__).parents[1] / "results" / "allocation"
SAME, KNOWN, PROBE = "the same for all", "by known bins, at no price", "by bins of probe"
ROUNDS, UNTIL, BOTH = "in two rounds", "until the first right one", "until then, by known bins"
WAYS = (
    (SAME, NEUTRAL, "-"),
    (PROBE, SOFT, "--"),
    (KNOWN, INK, "-"),
    (ROUNDS, ACCENT, ":"),
    (UNTIL, ACCENT, "-"),
    (BOTH, ACCENT, "--"),
)
SEARCHES = (
    ("beam", "exact", INK, "-", "beam, exact"),
    ("best-of", "exact", INK, ":", "best of N, exact"),
    ("beam", "corrupted", SOFT, "-", "beam, a fifth wrong"),
    ("best-of", "corrupted", SOFT, ":", "best of N, a fifth wrong"),
    ("majority", "none", NEUTRAL, "-", "majority"),
    ("beam", "learned", ACCENT, "-", "beam, learned"),
)
CHAIN_BUDGET = 4e10
METHODS = (
    ("likeliest", "none", INK, "likeliest"),
    ("majority", "none", NEUTRAL, "majority"),
    ("best-of", "learned", ACCENT, "best of N, learned"),
    ("beam", "learned", SOFT, "beam, learned"),
)


def table(name: str) -> Any:
    """A table of docs/results/allocation."""
    return pd.read_csv(RESULTS / f"{name}.csv")


def near(frame: Any, flops: float) -> Any:
    """The rows of models trained with about so many FLOPs."""
    return frame[(frame["flops"] / flops - 1).abs() < 0.05]


def draw() -> Figure:
    """Draw ways to spend samples on a good and on a poor model, methods by difficulty, search on chains."""
    figure, axes = canvas(9.0, 6.6, rows=2, columns=2)
    for panel, width, flops in ((axes[0], 24, 2.7e11), (axes[1], 40, 9e10)):
        _draw_ways(panel, width, flops)
    axes[0].legend(fontsize=7.5, frameon=False, loc="lower right")
    _draw_bins(axes[2])
    _draw_chains(axes[3])
    return figure


def _draw_ways(panel: Any, width: int, flops: float) -> None:
    own = near(table("ways"), flops)
    own = own[own["d_model"] == width]
    for way, colour, line in WAYS:
        mean = own[own["way"] == way].groupby("budget")[["cost", "pass_rate"]].mean()
        panel.plot(mean["cost"], mean["pass_rate"], "o" + line, color=colour, ms=3, lw=1.5, label=way)
    log_axis(panel, "x", 0.9, 18, "mean samples of a problem", "{:g}".format)
    panel.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
    panel.set_ylabel("share of problems solved")
    budget = f"{flops:.2g}".replace("e+", "e")
    panel.set_title(f"with a checker: width {width}, {budget} FLOPs", fontsize=9, loc="left")


def _draw_bins(panel: Any) -> None:
    bins = table("bins")
    at_16 = bins[bins["samples"] == 16].groupby(["method", "reward", "bin"])["accuracy"].mean()
    one = bins[(bins["samples"] == 1) & (bins["method"] == "likeliest")].groupby("bin")["accuracy"].mean()
    panel.plot(one.index, one, "s", color=NEUTRAL, ms=5, mfc="none", label="one sample")
    for method, reward, colour, name in METHODS:
        mean = at_16.loc[(method, reward)]
        panel.plot(mean.index, mean, "o-", color=colour, ms=3, lw=1.5, label=name)
    panel.set_xticks([1, 2, 3, 4, 5], ["easiest", "2", "3", "4", "hardest"])
    panel.set_xlabel("fifth of the problems, by pass rate")
    panel.set_ylabel("share of problems answered right")
    panel.set_ylim(-0.02, 1.02)
    panel.set_title("without a checker, 16 samples: four models of 2.7e11 FLOPs", fontsize=9, loc="left")
    panel.legend(fontsize=7.5, frameon=False, loc="lower left")


def _draw_chains(panel: Any) -> None:
    own = near(table("chains"), CHAIN_BUDGET)
    for method, reward, colour, line, name in SEARCHES:
        here = own[(own["method"] == method) & (own["reward"] == reward)]
        mean = here.groupby("samples")["accuracy"].mean()
        panel.plot(mean.index, mean, "o" + line, color=colour, ms=3, lw=1.5, label=name)
    log_axis(panel, "x", 0.9, 72, "solutions' worth of tokens", "{:g}".format)
    panel.set_xticks([1, 4, 16, 64], ["1", "4", "16", "64"])
    panel.set_ylim(-0.02, 1.02)
    panel.set_ylabel("share of chains answered right")
    panel.set_title("chains of eight: width 24, 4e10 FLOPs", fontsize=9, loc="left")
    panel.legend(fontsize=7.5, frameon=False, loc="upper left")
