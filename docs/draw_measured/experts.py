"""The figure of docs/laws-measured/experts.md."""

from __future__ import annotations

from matplotlib.figure import Figure

from isoflop.analysis import load_runs
from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis

TABLE = "measured:experts"
COUNTS = ((1, SOFT, "dense"), (2, NEUTRAL, "2 experts"), (4, INK, "4 experts"), (8, ACCENT, "8 experts"))


def draw() -> Figure:
    """Draw losses over tokens, and what each number of experts adds to the dense model's."""
    frame = load_runs(TABLE).frame
    figure, (losses, rises) = canvas(9.0, 3.8, columns=2)
    for experts, colour, name in COUNTS:
        runs = frame[frame["experts"] == experts]
        for first, (_, size) in enumerate(runs.groupby("d_model")):
            mean = size.groupby("budget")[["n_tokens", "loss"]].mean()
            losses.plot(size["n_tokens"], size["loss"], "o", color=colour, ms=3)
            losses.plot(
                mean["n_tokens"], mean["loss"], color=colour, lw=1.2, label=name if not first else None
            )
    log_axis(losses, "x", 1.5e5, 1.2e6, "tokens")
    losses.text(2.6e5, 2.09, "width 24", color=SOFT, fontsize=8, ha="right")
    losses.text(6e5, 2.12, "width 16", color=SOFT, fontsize=8)
    losses.set_ylabel("held-out loss, nats per byte")
    losses.legend(fontsize=8, frameon=False)
    table = frame.pivot_table(index=["d_model", "budget", "init_seed"], columns="experts", values="loss")
    above = table.sub(table[1], axis=0).drop(columns=1)
    for (width, budget), runs in above.groupby(["d_model", "budget"]):
        colour = ACCENT if width == 24 else INK
        style = "--" if budget == frame["budget"].min() else "-"
        for _, run in runs.iterrows():
            rises.plot(above.columns, run, "o", color=colour, ms=3)
        rises.plot(
            above.columns,
            runs.mean(),
            style,
            color=colour,
            lw=1.2,
            label=f"width {width}, {budget:.2g} FLOPs",
        )
    rises.set_xscale("log", base=2)
    rises.set_xticks([2, 4, 8], ["2", "4", "8"])
    rises.set_xlabel("experts")
    rises.axhline(0, color=NEUTRAL, lw=0.8)
    rises.set_ylabel("nats per byte above the dense model")
    rises.legend(fontsize=8, frameon=False)
    return figure
