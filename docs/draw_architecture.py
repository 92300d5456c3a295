"""The figures of the laws of architecture and precision, which docs/draw.py draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from docs.figure_file import save
from isoflop.analysis import compare_at_equal_flops, published_fit
from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis
from isoflop.analysis.laws import clark, kumar

COLOURS = (NEUTRAL, INK, ACCENT)
STATED_BITS = (7, 8)
"""Kumar et al.'s compute-optimal precision, as the paper states it."""


def draw_experts(folder: Path) -> None:
    """Draw what experts save at equal FLOPs, by two laws."""
    figure, (fine, routed) = canvas(9.0, 3.8, columns=2)
    C = np.geomspace(1e19, 1e25, 13)
    for G, colour in zip((1.0, 8.0, 64.0), COLOURS, strict=True):
        found = [
            compare_at_equal_flops("krajewski", c, "chinchilla:krajewski-dense", given={"G": G}) for c in C
        ]
        fine.plot(C, [each.multiplier for each in found], color=colour, lw=2, label=f"granularity {G:g}")
    log_axis(fine, "x", 1e19, 1e25, "training FLOPs", "{:.0e}".format)
    fine.set_ylabel("FLOPs a dense model needs, over these")
    fine.set_ylim(0, 40)
    fine.set_title("Krajewski et al. (2024), E = 64", fontsize=9, color=INK)
    N = np.geomspace(1e7, 1e13, 200)
    for name, colour in zip(("hash", "rl-r", "s-base"), COLOURS, strict=True):
        params = published_fit(f"clark:{name}").params_P
        worth = clark.effective_parameters(params, N, np.array(64.0)) / N
        routed.plot(N, worth, color=colour, lw=2, label=f"{name}, 64 experts")
    routed.axhline(1, color=SOFT, lw=0.9, ls=":")
    routed.axvspan(1.5e7, 1.3e9, color=NEUTRAL, alpha=0.15, lw=0)
    routed.text(1.4e8, 0.115, "their runs", color=SOFT, fontsize=8, ha="center")
    log_axis(routed, "x", 1e7, 1e13, "N, parameters that a token uses")
    log_axis(routed, "y", 0.1, 10, "parameters of the equal dense model / N")
    routed.set_title("Clark et al. (2022), 130B tokens, as printed", fontsize=9, color=INK)
    for axes in (fine, routed):
        axes.legend(fontsize=8, frameon=False, loc="upper right" if axes is routed else "upper left")
    save(figure, folder / "experts.png")


def draw_precision(folder: Path) -> None:
    """Draw what training in few bits saves, and what quantizing costs after training."""
    fit = published_fit("kumar")
    gammas = fit.params_P[5:]
    figure, (bits, after) = canvas(9.0, 3.8, columns=2)
    P = np.linspace(2, 16, 281)
    worth = np.prod([kumar.effective_share(np.array(gamma), P) for gamma in gammas], axis=0) / P
    bits.plot(P, worth / worth[-1], color=ACCENT, lw=2)
    best = kumar.optimal_bits(tuple(gammas))
    bits.plot(best, np.interp(best, P, worth / worth[-1]), "D", color=ACCENT, ms=7)
    bits.text(best + 0.35, 2.62, f"best by these constants: {best:.1f} bits", color=INK, fontsize=8)
    bits.axvspan(*STATED_BITS, color=NEUTRAL, alpha=0.25, lw=0)
    bits.text(8.15, 1.0, "as the paper states it", color=SOFT, fontsize=8)
    bits.set_xlabel("bits of weights, activations and KV cache in training")
    bits.set_ylabel("FLOPs at 16 bits for the same loss, over these")
    bits.set_xlim(2, 16)
    bits.set_ylim(0, 3)
    penalty, N = published_fit("kumar_post_training"), 1e9
    ratio = np.geomspace(1, 2e4, 100)
    for width, colour in zip((5, 4, 3), COLOURS, strict=True):
        after.plot(ratio, penalty.predict(N, ratio * N, width), color=colour, lw=2, label=f"{width} bits")
    log_axis(after, "x", 1, 2e4, "tokens a parameter, N = 1B")
    log_axis(after, "y", 1e-4, 10, "nats lost by quantizing")
    after.legend(fontsize=8, frameon=False, loc="lower right")
    save(figure, folder / "precision.png")
