"""Exercises of the notebook "IsoFLOP curves and three approaches"."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isoflop.analysis import fit, load_runs, predict
from isoflop.labs.exercises.exercise import Exercise, Exercises, Mistake
from isoflop.labs.exercises.simulated import draw_surface, random_numbers, run_table, vertex

BUDGETS = (1e17, 3e17, 1e18, 3e18, 1e19)
STEP = 1.7
"""Factor between sizes."""
NOISE = 0.001
FURTHER = 100.0
"""Times the largest budget."""


def make(student: str) -> Exercises:
    """Five IsoFLOP curves of seven sizes."""
    rng = random_numbers(student, "isoflops")
    surface = draw_surface(rng)
    steps = np.arange(-3, 4) + 0.4 * rng.choice((-1, 1))  # the minimum between sizes: the best run misses it
    C = np.repeat(BUDGETS, len(steps))
    N = surface.n_opt(C) * STEP ** np.tile(steps, len(BUDGETS))
    runs = run_table(surface, N, C / (6 * N), NOISE, rng)
    runs.insert(0, "budget", C)
    asked = float(rng.choice(BUDGETS[1:4]))
    further = FURTHER * BUDGETS[-1]
    values = {"budget": asked, "larger_budget": further}
    return Exercises({"runs": runs}, values, lambda: _solve(runs, asked, further))


def _solve(runs: pd.DataFrame, asked: float, further: float) -> tuple[Exercise, ...]:
    curve = runs[runs["budget"] == asked]
    N, loss = np.asarray(curve["n_params"]), np.asarray(curve["loss"])
    best = float(N[loss.argmin()])
    minima = [
        np.exp(vertex(np.log(each["n_params"]), each["loss"]))
        for _, each in runs.groupby("budget", sort=True)
    ]
    a = float(np.polyfit(np.log(BUDGETS), np.log(minima), 1)[0])
    fitted = fit(load_runs(runs), bootstrap=0)
    alpha, beta = (float(fitted.params[name] or 0) for name in ("alpha", "beta"))
    ahead, now = (predict(fitted, flops).tokens_per_parameter for flops in (further, BUDGETS[-1]))
    return (
        Exercise(
            float(np.exp(vertex(np.log(N), loss))),
            (
                Mistake(best, "That is the run of least loss. The minimum lies between the sizes tried."),
                Mistake(vertex(N, loss), "Over N the curve is lopsided and no parabola: use log N."),
                Mistake(vertex(np.log(N), loss), "That is the logarithm of the size."),
            ),
        ),
        Exercise(
            a,
            (
                Mistake(1 / a, "You have log C over log N: which of the two is chosen, and which follows?"),
                Mistake(a / np.log(10), "One logarithm is to base 10, the other natural."),
                Mistake(a * np.log(10), "One logarithm is to base 10, the other natural."),
                Mistake(1 - a, "That is the exponent of the tokens, D_opt ~ C^b."),
            ),
        ),
        Exercise(
            beta / (alpha + beta),
            (
                Mistake(
                    alpha / (alpha + beta),
                    "That is b. The faster N's term falls, the less size is needed: alpha lowers a.",
                ),
                Mistake(alpha, "alpha says how the loss falls with N, not how the best N grows with C."),
                Mistake(beta, "beta says how the loss falls with D, not how the best N grows with C."),
            ),
        ),
        Exercise(
            ahead,
            (
                Mistake(20.0, "20 is what one paper found at one budget. What do your runs say?"),
                Mistake(now, "That is the ratio at your largest budget. With a below .5 it grows with C."),
                Mistake(6 * ahead, "C = 6 N D: a factor 6 is left over."),
            ),
            tolerance=0.03,
        ),
    )
