"""Draw the figures of these pages: `make figures`, or python docs/draw.py [--small] [FOLDER].

Five are of runs in docs/results, two of simulated runs. They go to outputs/figures unless a folder
is named: another processor rounds otherwise, and another matplotlib draws otherwise, so that those of
docs/figures change only on purpose. --small takes few resamples and starts: it proves that all can be drawn.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import minimize

from benchmarks.fit import GRID, huber_sum, simulated
from docs.draw_architecture import draw_experts, draw_precision
from docs.draw_curves import draw_curves
from docs.draw_downstream import draw_downstream, draw_test_time
from docs.draw_laws import draw_data, draw_hyperparameters, draw_reconciliation
from docs.draw_measured import draw_measured
from docs.draw_serving import draw_serving
from docs.figure_file import save
from isoflop.analysis import (
    FitOptions,
    LawFit,
    RunTable,
    compare_families,
    find_law,
    fit,
    published_fit,
    table_of,
)
from isoflop.analysis.figures.figure_data import render
from isoflop.analysis.figures.multiplier import MultiplierCurve
from isoflop.analysis.figures.notebook import plot_heldout, plot_isoflops
from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.planning.inference import revealed_demand
from isoflop.analysis.solver.search import fit_problem, search
from isoflop.analysis.uncertainty.profiles import Quantity, profiles

TRUTH = np.array([1.8172, 482.01, 0.3478, 2085.43, 0.3658])
"""E, A, alpha, B, beta of Besiroglu et al. (2024), table 1."""
NOISE = 0.003
PLAIN = FitOptions(bootstrap=0)
SCIPY_STARTS, SMALL_STARTS = 200, 3
SMALL = {"bootstrap": 20}
"""Options of the fits with --small."""
RESULTS = Path(__file__).parent / "results"
DEMO = RESULTS / "cpu-demo" / "runs.csv"
CONVOLUTION = RESULTS / "convolution" / "runs.csv"
LADDER = RESULTS / "cpu-ladder"
MODELS = (
    ("GPT-3 175B", 175e9, 300e9),
    ("Chinchilla 70B", 70e9, 1.4e12),
    ("Llama 7B", 7e9, 1e12),
    ("Llama 2 7B", 7e9, 2e12),
    ("Llama 3 8B", 8e9, 15e12),
    ("Llama 3 70B", 70e9, 15e12),
    ("Llama 3 405B", 405e9, 15.6e12),
)
"""Parameters and training tokens, by their makers' papers."""


def main() -> None:
    """Write every figure and print the numbers that the pages quote."""
    small, named = "--small" in sys.argv, [word for word in sys.argv[1:] if word != "--small"]
    folder = Path(named[0] if named else "outputs/figures")
    folder.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = SMALL if small else {}
    draw_demo(folder, options)
    draw_pair(folder, options)
    draw_ladder(folder)
    draw_starts(folder, SMALL_STARTS if small else SCIPY_STARTS)
    draw_trap(folder)
    draw_planning(folder)
    draw_experts(folder)
    draw_precision(folder)
    draw_serving(folder)
    draw_reconciliation(folder)
    draw_data(folder)
    draw_hyperparameters(folder)
    draw_downstream(folder)
    draw_test_time(folder)
    draw_curves(folder)
    draw_measured(folder)
    print(f"the figures are in {folder}")


def draw_demo(folder: Path, options: dict[str, Any]) -> None:
    """Draw the demo's IsoFLOP curves, and its largest budget predicted from the smaller ones."""
    for name, plot in (("isoflop", plot_isoflops), ("heldout", plot_heldout)):
        figure = plot(DEMO, **options).figure
        assert isinstance(figure, Figure)
        save(figure, folder / f"{name}.png", dpi=200)


def draw_pair(folder: Path, options: dict[str, Any]) -> None:
    """Draw the compute multiplier of the family without its convolution against the family."""
    (comparison,) = compare_families(CONVOLUTION, by="kv_convolution", **options)
    assert comparison.multiplier is not None
    figure, _ = render(MultiplierCurve(comparison.multiplier))
    save(figure, folder / "multiplier.png", dpi=200)


def draw_ladder(folder: Path) -> None:
    """Draw the CPU ladder's IsoFLOP curves, and over its largest budget what was registered before it."""
    axes = plot_isoflops(LADDER / "runs.csv", curve="parabola")
    forecast = json.loads((LADDER / "forecasts" / "3e13" / "forecast.json").read_text())
    losses = {cell["n_params"]: cell["loss"] for cell in forecast["cells"]}
    axes.plot(list(losses), list(losses.values()), color=INK, lw=1.2, ls="--", zorder=5)
    predicted = forecast["forecast"]
    axes.plot(predicted["n_opt"], predicted["loss"], "D", mfc="white", mec=INK, ms=7, zorder=6)
    axes.text(
        9.5e4, 1.45, "3e13, registered\nbefore its runs", color=INK, ha="right", va="center", fontsize=8
    )
    figure = axes.figure
    assert isinstance(figure, Figure)
    save(figure, folder / "ladder.png", dpi=200)


def draw_starts(folder: Path, scipy_starts: int) -> None:
    """Draw where searches end: ours from its 512 starts, L-BFGS-B by finite differences from the D.3 grid."""
    frame = simulated()
    table = table_of(frame)
    design = fit_problem(table, find_law("chinchilla"), PLAIN)
    ours = np.sort(search(design, table.loss_R, 512).objective_S)
    data = [np.log(frame[name].to_numpy()) for name in ("n_params", "n_tokens", "loss")]
    starts = np.array(np.meshgrid(*GRID.values())).reshape(5, -1).T
    chosen = starts[np.random.default_rng(1).choice(len(starts), scipy_starts, replace=False)]
    theirs = np.sort([minimize(huber_sum, x, args=tuple(data), method="L-BFGS-B").fun for x in chosen])
    best = min(ours[0], theirs[0])
    figure, (axes,) = canvas(6.4, 3.6)
    for values, name, colour in (
        (ours, f"isoflop, {len(ours)} starts", ACCENT),
        (theirs, f"L-BFGS-B, {len(theirs)} of 4,500", INK),
    ):
        share = np.arange(1, len(values) + 1) / len(values)
        axes.plot(share, np.maximum(values / best - 1, 1e-14), color=colour, lw=2, label=name)
    axes.axhline(1e-6, color=SOFT, lw=0.9, ls=":")
    axes.text(0.99, 1.8e-6, "counts as the optimum", color=SOFT, ha="right", fontsize=8)
    axes.set_yscale("log")
    axes.set_xlabel("share of starts, best first")
    axes.set_ylabel("objective over the optimum, less 1")
    axes.text(0.99, 1.6e-14, "equal to rounding", color=SOFT, ha="right", fontsize=8)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.1), frameon=False, fontsize=8)
    save(figure, folder / "starts.png")
    for name, values in (("isoflop", ours), ("L-BFGS-B", theirs)):
        print(f"{name}: {np.mean(values <= best * (1 + 1e-6)):.1%} of starts at the optimum")


def draw_trap(folder: Path) -> None:
    """Draw runs along D = 20 N: what their fit says, and what two kinds of further runs cure."""
    rng = np.random.default_rng(0)
    N = np.geomspace(2e7, 4e9, 24)
    line = losses(N, 20 * N, rng)
    trapped = table_of(line)
    first = fit(trapped, PLAIN)
    print_fit("on the line", first)
    extra = [(run["n_params"], run["n_tokens"]) for run in first.next_runs]
    added = losses(*np.array(extra * 3).T, rng)
    cured_table = table_of(pd.concat([line, added], ignore_index=True))
    cured = fit(cured_table, PLAIN)
    print_fit("with the next runs, three seeds each", cured)
    figure, (plane, curve) = canvas(9.0, 3.8, columns=2)
    plane.plot(N, 20 * N, "o", color=NEUTRAL, ms=5, label="runs at 20 tokens a parameter")
    plane.plot(*np.array(extra).T, "D", color=ACCENT, ms=8, label="what to run next")
    log_axis(plane, "x", 4e6, 2e10, "N, parameters")
    log_axis(plane, "y", 1e8, 4e11, "D, tokens")
    plane.legend(loc="upper left", frameon=False, fontsize=8)
    for table, name, colour in (
        (trapped, "on the line", NEUTRAL),
        (cured_table, "with the two runs", ACCENT),
    ):
        values, rises, threshold = alpha_profile(table)
        curve.plot(values, np.sqrt(rises / threshold), "-", color=colour, lw=2, label=name)
    curve.axhline(1, color=SOFT, lw=0.9, ls=":")
    curve.axvline(TRUTH[2], color=INK, lw=0.9)
    curve.text(TRUTH[2] + 0.07, 2.8, "true alpha", color=INK, fontsize=8)
    curve.text(0.99, 1.05, "95%", color=SOFT, fontsize=8, ha="right")
    curve.set_xlim(0.0, 1.0)
    curve.set_ylim(0, 3)
    curve.set_xlabel("alpha, held")
    curve.set_ylabel("root of the objective's rise")
    curve.legend(loc="center right", frameon=False, fontsize=8)
    save(figure, folder / "trap.png")


def draw_planning(folder: Path) -> None:
    """Draw what two laws take for compute-optimal, what use makes of it, and what makers trained."""
    figure, (axes,) = canvas()
    log_axis(axes, "x", 1e9, 1e12, "Parameters")
    log_axis(axes, "y", 2e10, 3e14, "Training tokens")
    N = np.geomspace(1e9, 1e12, 60)
    for constants, colour in (("besiroglu", ACCENT), ("hoffmann-unrounded", NEUTRAL)):
        law = published_fit(f"chinchilla:{constants}")
        C = np.geomspace(1e19, 1e28, 400)
        n, d = law.allocate(C)
        keep = (n > N[0]) & (n < N[-1])
        axes.plot(n[keep], d[keep], color=colour, lw=1.8, label=f"{constants}: compute-optimal")
        demanded = [_tokens_for_demand(law, size, 10.0) for size in N]
        axes.plot(
            N,
            demanded,
            color=colour,
            lw=1.0,
            ls="--",
            label="the cheapest if it serves ten times its training tokens",
        )
    for name, n, d in MODELS:
        axes.plot(n, d, "o", color=INK, ms=4)
        axes.annotate(name, (n, d), xytext=(4, 4), textcoords="offset points", fontsize=8, color=INK)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    save(figure, folder / "planning.png", dpi=200)


def _tokens_for_demand(law: LawFit, n: float, times: float) -> float:
    """Training tokens at which the revealed demand is so many times them."""
    D = np.geomspace(1e9, 1e17, 400)
    ratio = [revealed_demand(law, law.params_P, n, d) / d for d in D]
    return float(np.exp(np.interp(times, ratio, np.log(D))))


def losses(N: np.ndarray, D: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """A run table of the true law at N and D with log-normal noise."""
    loss = evaluate(find_law("chinchilla"), TRUTH, N, D) * np.exp(NOISE * rng.standard_normal(len(N)))
    return pd.DataFrame({"n_params": N, "n_tokens": D, "loss": loss})


def alpha_profile(table: RunTable) -> tuple[np.ndarray, np.ndarray, float]:
    """Values of alpha, the rise of the objective there, and the rise that bounds the 95% interval."""
    design = fit_problem(table, find_law("chinchilla"), dataclasses.replace(PLAIN, loss="mse"))
    solutions = search(design, table.loss_R, 128)
    quantities = (Quantity("alpha", lambda p: p[:, 2]),)
    found = profiles(design, table.loss_R, solutions, quantities)["alpha"]
    return np.array(found.values), np.maximum(found.rises, 0.0), found.threshold


def print_fit(name: str, fitted: LawFit) -> None:
    """Print the numbers that docs/identifiability.md quotes."""
    params = ", ".join(f"{key} {value:.4g}" for key, value in fitted.params.items())
    unknown = [key for key, known in fitted.identified.items() if not known]
    print(f"{name}: {params}; a {fitted.exponents['a']:.3f}; not identified: {', '.join(unknown) or 'none'}")
    if fitted.certificate:
        print(f"  condition number {fitted.certificate.condition_number:.3g}, {fitted.certificate.status}")
    for run in fitted.next_runs:
        print(f"  next: N {run['n_params']:.2g}, D {run['n_tokens']:.2g}, separates {run['separates']}")


if __name__ == "__main__":
    main()
