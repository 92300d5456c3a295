"""Draw the figures of docs/downstream.md and docs/test-time.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from docs.figure_file import save
from isoflop.analysis import fit, load_attempts
from isoflop.analysis.downstream.two_step import TwoStep
from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas
from isoflop.analysis.test_time.attempts import Attempts
from isoflop.analysis.test_time.curve_law import fit_curves
from isoflop.analysis.test_time.pass_at_k import counts_of_samples, pass_at_k
from isoflop.analysis.test_time.success_tail import fit_success_tail

RESULTS = Path(__file__).parent / "results"
LADDER = RESULTS / "cpu-ladder" / "runs.csv"
ATTEMPTS = RESULTS / "repeated-sampling" / "attempts.csv"
HELD_OUT = 3e13
"""FLOPs of the ladder's largest budget."""
BELOW = "budget<3e13"
FARTHEST = 1e5
"""Samples up to which coverage is drawn."""
CUT = 0.01
"""Success rate below which the second set of problems has none."""


def draw_downstream(folder: Path) -> None:
    """Draw accuracy against loss, and the two-step forecast of it against compute, on the CPU ladder."""
    runs = pd.read_csv(LADDER)
    held = runs["budget"] >= HELD_OUT
    options = {"where": BELOW, "bootstrap": 200}
    score = fit(LADDER, law="gadre_error", metric="accuracy", **options)
    law = TwoStep(fit(LADDER, **options), score)
    figure, (left, right) = canvas(7.4, 3.4, columns=2)
    loss = np.linspace(runs["loss"].min() - 0.05, runs["loss"].max() + 0.05, 80)
    left.plot(
        loss, 1 - score.predict(1.0, 1.0, loss), color=ACCENT, lw=1.5, label="gadre_error, fitted below 3e13"
    )
    C = np.geomspace(runs["flops"].min(), 1e15, 60)
    scores = 1 - law.scores(C)
    low, high = np.quantile(scores[1:], [0.025, 0.975], axis=0)
    right.fill_between(C, low, high, color=ACCENT, alpha=0.2, lw=0)
    right.plot(C, scores[0], color=ACCENT, lw=1.5, label="two steps, best split of C")
    for axes, column in ((left, "loss"), (right, "flops")):
        for some, colour, name in (
            (~held, NEUTRAL, "runs below 3e13 FLOPs"),
            (held, INK, "runs of 3e13, held out"),
        ):
            axes.plot(runs[column][some], runs["accuracy"][some], "o", ms=3.5, color=colour, label=name)
        axes.set_ylabel("accuracy of the next byte")
    left.set_xlabel("loss (nats a byte)")
    right.set_xscale("log")
    right.set_xlabel("training FLOPs")
    for axes in (left, right):
        axes.legend(loc="lower left" if axes is left else "lower right", frameon=False, fontsize=7)
    save(figure, folder / "downstream.png", dpi=200)


def draw_test_time(folder: Path) -> None:
    """Draw coverage against samples: with a tail down to zero, and with one that is cut off."""
    figure, axes = canvas(7.4, 3.4, columns=2)
    rng = np.random.default_rng(5)
    rates = rng.beta(0.3, 1.5, 200)  # as those of docs/results/repeated-sampling are
    cut = np.maximum(rates, CUT)
    names = tuple(map(str, range(200)))
    short = Attempts(names, np.full(200, 256), np.random.default_rng(6).binomial(256, cut))
    for panel, attempts, truth, title in (
        (axes[0], load_attempts(ATTEMPTS), rates, "success rates down to zero"),
        (axes[1], short, cut, f"none below {CUT:g}"),
    ):
        measured = counts_of_samples(256)
        curve = pass_at_k(attempts.n_P, attempts.c_P, measured).mean(axis=0)
        k = np.geomspace(1, FARTHEST, 120)
        panel.plot(
            k, [np.mean(1 - (1 - truth) ** x) for x in k], color=SOFT, lw=3, alpha=0.4, label="true rates"
        )
        panel.plot(k, fit_curves(measured, curve[None]).coverage(k)[0], "--", color=INK, lw=1.2, label="law")
        panel.plot(k, fit_success_tail(attempts).coverage(k)[0], color=ACCENT, lw=1.5, label="tail")
        panel.plot(measured, curve, "o", ms=3, color=INK, label="pass@k of 256 samples")
        panel.set_xscale("log")
        panel.set_ylim(0, 1.02)
        panel.set_xlabel("samples k")
        panel.set_ylabel("coverage")
        panel.set_title(title, fontsize=9)
        panel.legend(loc="lower right", frameon=False, fontsize=8)
    save(figure, folder / "test-time.png", dpi=200)
