"""The figure of docs/laws-measured/test-time.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis
from isoflop.analysis.test_time.curve_law import CurveLaws, fit_curves
from isoflop.analysis.test_time.pass_at_k import counts_of_samples, pass_at_k

RESULTS = Path(__file__).parents[1] / "results" / "countdown"
BUDGETS = (3e10, 9e10, 2.7e11)
WIDTHS = ((16, INK), (24, ACCENT), (40, SOFT))
SAMPLES = 64
SHOWN = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64])
"""Numbers of samples that have a point."""
LEAST_SOLVED = 0.02
"""pass@1 below which no law is fitted."""
METHODS = (
    ("best-of", "exact", INK, "-", "best of N, exact"),
    ("beam", "exact", INK, ":", "beam, exact"),
    ("best-of", "corrupted", SOFT, "-", "best of N, a fifth of verdicts wrong"),
    ("majority", "none", NEUTRAL, "-", "majority"),
    ("best-of", "learned", ACCENT, "-", "best of N, learned"),
    ("beam", "learned", ACCENT, ":", "beam, learned"),
)


def curves() -> dict[tuple[float, int, int], np.ndarray]:
    """pass@k at k of 1 to 64 by budget, width and seed."""
    table: Any = pd.read_csv(RESULTS / "attempts.csv")
    k_K = np.arange(1, SAMPLES + 1)
    return {
        (min(BUDGETS, key=lambda budget: abs(budget - flops)), width, seed): pass_at_k(
            own["n"].to_numpy(), own["c"].to_numpy(), k_K
        ).mean(axis=0)
        for (flops, width, seed), own in table.groupby(["flops", "d_model", "init_seed"])
    }


def uniform() -> np.ndarray:
    """Coverage of the policy that draws legal steps, at k of 1 to 64."""
    chance: Any = pd.read_csv(RESULTS / "problems.csv")["uniform_success"].to_numpy()
    return (1.0 - (1.0 - chance[:, None]) ** np.arange(1, SAMPLES + 1)).mean(axis=0)


def law(coverage_K: np.ndarray) -> CurveLaws:
    """The law of one curve, as `isoflop coverage` fits it."""
    k_K = counts_of_samples(SAMPLES)
    return fit_curves(k_K, coverage_K[None, k_K.astype(int) - 1])


def draw() -> Figure:
    """Draw coverage against samples by size and budget, and what search makes of test FLOPs."""
    found, k_K = curves(), np.arange(1, SAMPLES + 1)
    figure, axes = canvas(9.0, 6.4, rows=2, columns=2)
    for panel, budget in zip(axes, BUDGETS, strict=False):
        panel.plot(k_K, uniform(), color=NEUTRAL, lw=1.5, label="legal steps at random")
        for width, colour in WIDTHS:
            seeds = [found[budget, width, seed] for seed in (0, 1)]
            for coverage_K in seeds:
                panel.plot(SHOWN, coverage_K[SHOWN - 1], "o", color=colour, ms=3)
                if coverage_K[0] > LEAST_SOLVED and budget > BUDGETS[0]:
                    panel.plot(k_K, law(coverage_K).coverage(k_K)[0], "--", color=colour, lw=1.0)
            panel.plot([], [], "o--", color=colour, ms=3, lw=1.0, label=f"width {width}")
        log_axis(panel, "x", 0.95, 68, "samples of a problem", "{:g}".format)
        panel.set_xticks([1, 4, 16, 64], ["1", "4", "16", "64"])
        panel.set_ylim(-0.02, 1.02)
        panel.set_ylabel("share of problems solved")
        panel.set_title(f"trained with {budget:.2g} FLOPs".replace("e+", "e"), fontsize=9, loc="left")
    axes[0].legend(fontsize=8, frameon=False, loc="upper left")
    _draw_search(axes[3])
    return figure


def _draw_search(axes: Any) -> None:
    table: Any = pd.read_csv(RESULTS / "search.csv")
    own = table[table["d_model"] == 24]
    for method, reward, colour, line, name in METHODS:
        here = own[(own["method"] == method) & (own["reward"] == reward)]
        mean = here.groupby("samples")[["test_flops", "accuracy"]].mean()
        axes.plot(mean["test_flops"], mean["accuracy"], "o" + line, color=colour, ms=3, lw=1.5, label=name)
    log_axis(axes, "x", 6e5, 8e6, "test FLOPs of a problem", lambda x: f"{x:.0e}".replace("e+0", "e"))
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("share of problems answered right")
    axes.set_title("one answer a problem, width 24, 2.7e11 FLOPs", fontsize=9, loc="left")
    axes.legend(fontsize=7, frameon=False, loc="lower left", ncols=2)
