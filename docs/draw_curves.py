"""Draw the figure of docs/curves.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from docs.figure_file import save
from isoflop.analysis import read_curve_fit
from isoflop.analysis.curves.schedules import parse_schedule
from isoflop.analysis.figures.style import ACCENT, INK, SOFT, canvas

CONSTANTS = "luo:100m"
SCHEDULES = (
    ("constant", SOFT, "-"),
    ("cosine:final=0.1", INK, "-"),
    ("wsd:decay=0.2,final=0.1", ACCENT, "-"),
    ("wsd:decay=0.08,final=0.1,power=2", ACCENT, "--"),
)


def draw_curves(folder: Path) -> None:
    """Draw four schedules of one length, and the loss along each by the multi-power law."""
    fit = read_curve_fit(CONSTANTS)
    assert fit.fitted
    figure, (rate_axes, loss_axes) = canvas(width=9.0, height=3.4, columns=2)
    for text, colour, style in SCHEDULES:
        rates = parse_schedule(text, fit.fitted.steps, fit.fitted.peak, fit.fitted.warmup_steps, 0.1).rates()
        steps = np.linspace(fit.fitted.warmup_steps, len(rates) - 1, 400).astype(int)
        losses = fit.predict(rates, steps)
        rate_axes.plot(np.arange(len(rates)), rates * 1e4, color=colour, ls=style, lw=1.6)
        loss_axes.plot(steps, losses, color=colour, ls=style, lw=1.6, label=f"{text}: {losses[-1]:.3f}")
        print(f"{text}: {losses[-1]:.4f}")
    rate_axes.set_ylabel("Learning rate (1e-4)")
    loss_axes.set_ylabel("Loss")
    loss_axes.set_ylim(2.9, 3.4)
    for axes in (rate_axes, loss_axes):
        axes.set_xlabel("Step")
    loss_axes.legend(fontsize=8, frameon=False, title="loss at the end", title_fontsize=8)
    save(figure, folder / "curves.png", dpi=200)
