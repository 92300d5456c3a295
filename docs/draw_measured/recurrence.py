"""The figure of docs/laws-measured/recurrence.md."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from isoflop.analysis import load_runs
from isoflop.analysis.figures.style import ACCENT, INK, canvas, log_axis

POSITIONS = Path(__file__).parents[1] / "results" / "recurrence" / "positions.csv"
ARCHITECTURES = (("decoder", INK, "attention"), ("gated_recurrence", ACCENT, "recurrence"))


def draw() -> Figure:
    """Draw the IsoFLOP curves of both architectures, and the loss by position at the largest budget."""
    frame = load_runs("measured:recurrence").frame
    positions = pd.read_csv(POSITIONS).merge(frame[["cell_id", "architecture", "budget"]], on="cell_id")
    largest = positions["budget"].max()  # the decoder's further budgets are of another sweep
    figure, (curves, place) = canvas(9.0, 3.8, columns=2)
    for architecture, colour, name in ARCHITECTURES:
        own = frame[frame["architecture"] == architecture]
        for budget, runs in own.groupby("budget"):
            mean = runs.groupby("n_params_non_embedding")["loss"].mean()
            curves.plot(runs["n_params_non_embedding"], runs["loss"], "o", color=colour, ms=3)
            label = name if budget == largest else None
            line = "-" if budget <= largest else ":"
            curves.plot(mean.index, mean, line, color=colour, lw=1.5, label=label)
            side = ("left", mean.index[-1] * 1.06) if architecture == "decoder" else ("right", 4.3e3)
            at = mean.iloc[-1] if architecture == "decoder" else mean.iloc[0]
            named = f"{budget:.1e}".replace(".0e", "e").replace("e+", "e")
            curves.text(side[1], at, named, color=colour, fontsize=7, ha=side[0], va="center")
        here = positions[positions["architecture"] == architecture]
        by_position = here.groupby("position")["loss"].mean()
        width = here["d_model"].iloc[0]
        place.plot(by_position.index, by_position, color=colour, lw=1.2, label=f"{name}, width {width}")
    log_axis(curves, "x", 2.5e3, 9e4, "parameters, embedding excluded")
    curves.set_ylabel("held-out loss, nats per byte")
    curves.legend(fontsize=8, frameon=False)
    log_axis(place, "x", 1, 128, "bytes before the one predicted", "{:g}".format)
    place.set_ylabel(f"held-out loss at {largest:.0e} FLOPs, nats per byte".replace("e+", "e"))
    place.legend(fontsize=8, frameon=False)
    return figure
