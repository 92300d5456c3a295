"""The figure of docs/laws-measured/revision.md, and the differences that it tells of."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis
from isoflop.analysis.test_time.pass_at_k import pass_at_k
from isoflop.train.data.processes.countdown_tries import Process

RESULTS = Path(__file__).parents[1] / "results" / "revision"
LARGEST = 3.6e11
TURNS = np.array([1, 2, 3, 4])
SHARES = ((0.0, NEUTRAL, "no problem"), (0.25, INK, "a quarter"), (1.0, ACCENT, "all problems"))
"""By the share of problems that may have tries, its colour and name."""
MARKERS = {16: "o", 24: "s"}


def turns() -> Any:
    """Sums over problems and both seeds, by share of problems with tries, budget, width, method and turn."""
    table: Any = _with_budget(pd.read_csv(RESULTS / "turns.csv"))
    keys = ["explored", "budget", "d_model", "method", "turn"]
    counts = ["n", "c", "last", "lost", "missed", "repeated", "answered", "right_tries"]
    means = ["majority", "coverage", "without_repeats", "uniform_coverage"]
    grouped = table.groupby(keys)
    return grouped[counts].sum().join(grouped[means].mean())


def problems() -> Any:
    """A row a model and problem, with rates in the place of counts, and parallel answers' exact coverage."""
    table: Any = _with_budget(pd.read_csv(RESULTS / "problems.csv"))
    chance, n = table["chance"], table["n"]
    table["sixteen_parallel"] = 1.0 - (1.0 - chance) ** 16
    table["sixteen_revised"] = pass_at_k(n.to_numpy(), table["revised_4"].to_numpy(), np.array([4]))[:, 0]
    for name in ("revised_1", "revised_2", "revised_3", "revised_4", "last_4", "free"):
        table[name] = table[name] / n
    for turn in TURNS:
        table[f"forced_{turn}"] = chance if turn == 1 else table[f"forced_{turn}"] / n
        table[f"parallel_{turn}"] = 1.0 - (1.0 - chance) ** turn
        # The first answer's chance is known: what its samples are off by is taken out of the later ones.
        table[f"revised_{turn}"] -= (table["revised_1"] - chance) * (1.0 - chance) ** (turn - 1)
    return table


def _with_budget(table: Any) -> Any:
    table["budget"] = np.where(table["flops"] < 2e11, 1.2e11, LARGEST)
    return table


def models(table: Any, explored: float, budget: float, width: int | None = None) -> Any:
    """The rows of both seeds of a model, or of both widths."""
    own = table[(table["explored"] == explored) & (table["budget"] == budget)]
    return own if width is None else own[own["d_model"] == width]


def difference(table: Any, one: str, other: str, draws: int = 4000) -> tuple[float, float, float]:
    """Mean of one column less another, over problems and models, and its 95% interval over problems drawn
    anew, each with all its models."""
    by_problem_P = (table[one] - table[other]).groupby(table["problem"]).mean().to_numpy()
    P = len(by_problem_P)
    means = by_problem_P[np.random.default_rng(0).integers(0, P, (draws, P))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(by_problem_P.mean()), float(low), float(high)


def answered(explored: float) -> np.ndarray:
    """The share (4,) of training windows that answer in each slot, exactly."""
    process, found = Process(explored=explored), np.zeros(len(TURNS))
    for numbers in itertools.combinations_with_replacement(range(1, process.largest + 1), process.numbers):
        orders = len(set(itertools.permutations(numbers)))
        law: dict[int, float] = {}
        for steps, p in process.solutions(numbers):
            law[steps[-1]] = law.get(steps[-1], 0.0) + p
        for success in law.values():
            goes_on = success * orders / process.largest**process.numbers
            for slot, chance in enumerate(process.answer_chances(success)):
                found[slot] += goes_on * chance
                goes_on *= 1.0 - chance
    return found


def draw() -> Figure:
    """Draw coverage by revisions and in parallel, accuracy by forced tries, and by answers trained on."""
    table, by_turn = problems(), turns()
    figure, (cover, force, trained) = canvas(10.5, 3.7, columns=3)
    uniform = by_turn.loc[1.0, LARGEST, 16, "parallel"]["uniform_coverage"]
    cover.plot(TURNS, uniform, ":", color=SOFT, lw=1.2, label="legal steps at random")
    for explored, colour, name in SHARES[1:]:
        own = models(table, explored, LARGEST, 24)
        for method, line, of in (("parallel", "--", "in parallel"), ("revised", "-", "revised")):
            means = [own[f"{method}_{turn}"].mean() for turn in TURNS]
            cover.plot(TURNS, means, "s" + line, color=colour, ms=4, lw=1.4, label=f"{of}, tries in {name}")
    cover.set_ylabel("problems solved, width 24, 3.6e11 FLOPs")
    cover.set_xlabel("answers of nine tokens")
    cover.legend(fontsize=7, frameon=False, loc="upper left")
    for explored, colour, name in SHARES:
        for width, marker in MARKERS.items():
            own = models(table, explored, LARGEST, width)
            means = [own[f"forced_{turn}"].mean() for turn in TURNS]
            label = f"tries in {name}" if width == 24 else None
            force.plot(TURNS - 1, means, f"{marker}-", color=colour, ms=4, lw=1.4, label=label)
    force.set_xlabel("tries forced before the answer")
    force.set_ylabel("answers right, 3.6e11 FLOPs")
    force.set_xticks(TURNS - 1)
    force.legend(fontsize=7, frameon=False, loc="upper right")
    _draw_trained(trained, table)
    for axes in (cover, force, trained):
        axes.set_ylim(-0.02, 0.82 if axes is cover else 0.5)
    cover.set_xticks(TURNS)
    return figure


def _draw_trained(axes: Any, table: Any) -> None:
    runs: Any = pd.read_csv(RESULTS / "runs.csv")
    windows = (runs["n_tokens"] / runs["context_length"]).groupby([runs["budget"], runs["d_model"]]).first()
    for explored, colour, _ in SHARES:
        share = answered(explored)
        for budget, width in windows.index:
            own = models(table, explored, budget, width)
            shown = TURNS[: 1 if explored == 0 else 4]
            right = [own[f"forced_{turn}"].mean() for turn in shown]
            count = windows[budget, width] * share[shown - 1]
            axes.plot(count, right, f"{MARKERS[width]}-", color=colour, ms=4, lw=0.8)
    for width, marker in MARKERS.items():
        axes.plot([], [], marker, color=SOFT, ms=4, label=f"width {width}")
    log_axis(axes, "x", 500, 2e5, "answers in this slot trained on")
    axes.set_ylabel("answers right in this slot")
    axes.legend(fontsize=7, frameon=False, loc="upper left")
