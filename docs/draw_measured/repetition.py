"""The figure of docs/laws-measured/repetition.md."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from isoflop.analysis import FitOptions, fit, load_runs
from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis

REPETITION = "measured:repetition"
WITHOUT_SMALLEST = "unique_tokens!=32768"
"""The runs that the law of repetition can follow."""
PARTS = ((0, SOFT, "all of the text"), (524_288, NEUTRAL, "512 KiB"), (131_072, INK, "128 KiB"))
SMALLEST = (32_768, ACCENT, "32 KiB")
LARGEST_BUDGET = 6e11
SIZE = 48_592.0
"""Parameters of the middle size, at which the law is drawn."""


def draw() -> Figure:
    """Draw what repeated text costs beside fresh text, and the IsoFLOP curves on each part."""
    frame = load_runs(REPETITION).frame
    law = fit(load_runs(REPETITION, where=WITHOUT_SMALLEST), FitOptions(law="muennighoff", bootstrap=0))
    fresh = frame[frame["unique_tokens"] == 0].set_index(["budget", "d_model", "init_seed"])["loss"]
    figure, (cost, curves) = canvas(9.0, 3.8, columns=2)
    for part, colour, name in (*PARTS[1:], SMALLEST):
        runs = frame[(frame["unique_tokens"] == part) & (frame["n_tokens"] > frame["n_tokens_unique"])]
        beside = fresh.loc[list(zip(runs["budget"], runs["d_model"], runs["init_seed"], strict=True))]
        passes = runs["n_tokens"] / runs["n_tokens_unique"]
        cost.plot(passes, runs["loss"].to_numpy() - beside.to_numpy(), "o", color=colour, ms=4, label=name)
        D = np.geomspace(part, 100 * part, 100)
        N = np.full_like(D, SIZE)
        worse = law.predict(N, D, part) - law.predict(N, D, D)
        cost.plot(D / part, worse, "--", color=colour, lw=1.2)
    log_axis(cost, "x", 1, 128, "passes over the part", "{:g}".format)
    cost.set_yscale("symlog", linthresh=0.02, linscale=0.6)
    cost.set_yticks([0, 0.01, 0.1, 1], ["0", ".01", ".1", "1"])
    cost.set_ylim(-0.01, 2)
    cost.text(
        120,
        0.0015,
        "dashed: the fitted law, without\n32 KiB, at 49 thousand parameters",
        color=SOFT,
        fontsize=8,
        ha="right",
    )
    cost.set_ylabel("nats per byte above fresh text")
    cost.legend(fontsize=8, frameon=False, loc="upper left")
    for part, colour, name in (*PARTS, SMALLEST):
        runs = frame[(frame["unique_tokens"] == part) & (frame["budget"] == LARGEST_BUDGET)]
        mean = runs.groupby("n_params_non_embedding")["loss"].mean()
        curves.plot(runs["n_params_non_embedding"], runs["loss"], "o", color=colour, ms=3.5)
        curves.plot(mean.index, mean, color=colour, lw=1.5, label=name)
    log_axis(curves, "x", 1.2e4, 1.3e5, "parameters, embedding excluded")
    curves.set_ylabel("held-out loss at 6e11 FLOPs, nats per byte")
    curves.legend(fontsize=8, frameon=False, loc="center right", bbox_to_anchor=(1, 0.42))
    return figure
