"""The figure of docs/laws-measured/training-bits.md."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from isoflop.analysis import load_runs
from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis
from isoflop.analysis.laws.kumar import effective_share

TABLE = "measured:training-bits"
BITS = {2: ACCENT, 3: INK, 4: NEUTRAL}
"""Colours by the bits of the weights."""
WIDTHS = {8: "o", 16: "s", 24: "^"}
"""Markers by width."""
A, ALPHA, GAMMA = 45.99, 0.4887, 2.827
"""Of `kumar` as the page's command fits it; a fit for the figure would take half a minute."""


def draw() -> Figure:
    """Draw what few bits cost, over tokens at each width and over size beside the fitted law."""
    frame = load_runs(TABLE).frame
    pairs = ["d_model", "budget", "init_seed"]
    losses = frame.pivot_table(index=pairs, columns="weight_bits", values="loss")
    size: Any = frame.groupby(["d_model", "budget"])[["n_params_non_embedding", "n_tokens"]].first()
    figure, (tokens, sizes) = canvas(9.0, 3.8, columns=2)
    for bits, colour in BITS.items():
        rise = losses[bits] - losses[0]
        mean = rise.groupby(["d_model", "budget"]).mean()
        for width, marker in WIDTHS.items():
            D = size.loc[width, "n_tokens"]
            label = f"{bits} bits" if width == min(WIDTHS) else None
            tokens.plot(D, mean.loc[width], marker=marker, color=colour, ms=4, lw=1.2, label=label)
        top = mean.xs(frame["budget"].max(), level="budget")
        here = size.xs(frame["budget"].max(), level="budget")
        sizes.plot(here["n_params_non_embedding"], top, "-o", color=colour, ms=4, lw=1.2)
        N = np.geomspace(4e3, 3.5e4, 50)
        worth = effective_share(np.array(GAMMA), np.array(float(bits)))
        sizes.plot(N, A * N**-ALPHA * (worth**-ALPHA - 1), "--", color=colour, lw=1.2)
    for width, marker in WIDTHS.items():
        tokens.plot([], [], marker, color=SOFT, ms=4, label=f"width {width}")
    log_axis(tokens, "x", 1.2e5, 2.2e6, "tokens", "{:.0e}".format)
    tokens.set_ylabel("nats per byte above full weights")
    tokens.axhline(0, color=NEUTRAL, lw=0.8)
    tokens.legend(fontsize=8, frameon=False, ncols=2, loc="upper right", bbox_to_anchor=(1, 1.02))
    tokens.set_ylim(-0.05, 0.5)
    log_axis(sizes, "x", 3.8e3, 3.6e4, "parameters, embedding excluded", "{:.0e}".format)
    sizes.set_ylabel("nats per byte above full weights")
    sizes.set_ylim(-0.05, 0.5)
    sizes.text(3.5e4, 0.45, "1.2e11 FLOPs; dashed: the fitted law", color=SOFT, fontsize=8, ha="right")
    return figure
