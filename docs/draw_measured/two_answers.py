"""The figure of docs/laws-measured/two-answers.md."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from isoflop.analysis import FitOptions, fit, load_runs
from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis

RUNS = "measured:two-recipes"
CHINCHILLA = (0.0, 4.0)
"""`final_fraction` and `trunk_span`: decay to a run's end, a warm-up by its own length."""
RECIPES = (
    (CHINCHILLA, INK, "own warm-up, decay"),
    ((0.0, 1e6), ACCENT, "one warm-up, decay"),
    ((1.0, 4.0), NEUTRAL, "own warm-up, no decay"),
    ((1.0, 1e6), SOFT, "one warm-up, no decay"),
)
SWITCHES = (((1.0, 4.0), "without decay"), ((0.0, 1e6), "one warm-up for all"))
SHADES = (SOFT, NEUTRAL, INK, ACCENT)


def draw() -> Figure:
    """Draw what each switch adds to the loss of the same run, and N_opt by budget of each recipe."""
    frame = load_runs(RUNS).frame
    losses = {
        recipe: runs.set_index(["budget", "n_params_non_embedding", "init_seed"])["loss"]
        for recipe, runs in frame.groupby(["final_fraction", "trunk_span"])
    }
    figure, (decay, warmup, minima) = canvas(11.0, 3.6, columns=3)
    for axes, (recipe, title) in zip((decay, warmup), SWITCHES, strict=True):
        cost = (losses[recipe] - losses[CHINCHILLA]).groupby(level=[0, 1]).mean()
        for (budget, own), colour in zip(cost.groupby(level=0), SHADES, strict=True):
            axes.plot(
                own.index.get_level_values(1), own, "o-", color=colour, ms=4, label=f"{budget:.2g} FLOPs"
            )
        axes.axhline(0, color=SOFT, lw=0.8)
        log_axis(axes, "x", 1.2e4, 1.3e5, "parameters, embedding excluded")
        axes.set_ylim(-0.05, 0.17)
        axes.set_title(title)
    decay.set_ylabel("nats per byte above Chinchilla's recipe")
    warmup.legend(fontsize=8, frameon=False, loc="upper left")
    for (fraction, span), colour, name in RECIPES:
        runs = load_runs(RUNS, where=f"final_fraction={fraction:g},trunk_span={span:.0f}")
        found = fit(runs, FitOptions(approach=2, bootstrap=0))
        inside = [each for each in found.budgets if each.n_opt is not None]
        C, N = np.array([(each.flops, each.n_opt) for each in inside]).T
        minima.plot(C, N, "o-", color=colour, ms=4, label=name)
    log_axis(minima, "x", 5e10, 6e11, "FLOPs", "{:.0e}".format)
    log_axis(minima, "y", 1e4, 1e5, "")
    minima.set_title("best size, parameters")
    minima.legend(fontsize=8, frameon=False, loc="upper left")
    return figure
