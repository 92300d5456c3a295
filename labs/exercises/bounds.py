"""Exercises of the notebook "Bias, variance and what a bound says"."""

from __future__ import annotations

import numpy as np
import pandas as pd

from isoflop.analysis import fit, load_runs
from isoflop.labs.exercises.exercise import Exercise, Exercises, Mistake
from isoflop.labs.exercises.simulated import draw_surface, random_numbers, run_table

POINTS = np.linspace(-1, 1, 20)
TRAINING_SETS = 200
EXAMPLES = 30
FEATURES = 90
FRESH = 300
INPUTS = 8
SIZE = 5e7  # parameters
TOKENS = np.geomspace(1e8, 1e11, 9)
NOISE = 0.0005
"""Standard deviation of the log loss."""
PROBABILITY = 0.95


def make(student: str) -> Exercises:
    """Straight lines through a curve, random features, a class of networks, and a learning curve."""
    rng = random_numbers(student, "bounds")
    lines, truth, noise = _lines(rng)
    sample, fresh = _random_features(rng)
    surface = draw_surface(rng)
    curve = run_table(surface, np.full(len(TOKENS), SIZE), TOKENS, NOISE, rng)
    values = {
        "truth": truth,
        "noise": noise,
        "ridge": float(rng.choice((0.3, 0.5, 1.0))),
        "weights": float(rng.choice((1e4, 3e4, 1e5, 3e5))),
        "bits": float(rng.choice((4, 8, 16))),
        "gap": float(rng.choice((0.01, 0.02, 0.03))),
    }
    tables = {"lines": lines, "sample": sample, "fresh": fresh, "curve": curve}
    return Exercises(tables, values, lambda: _solve(tables, values))


def _lines(rng: np.random.Generator) -> tuple[pd.DataFrame, float, float]:
    """What lines through noisy examples of a sine say at one point; what is true there; the noise."""
    frequency, point = rng.uniform(2.8, 3.4), rng.uniform(0.4, 0.6)
    noise = float(rng.choice((0.4, 0.5, 0.6)))
    y = np.sin(frequency * POINTS) + noise * rng.standard_normal((TRAINING_SETS, len(POINTS)))
    slopes, levels = np.polyfit(POINTS, y.T, 1)
    return pd.DataFrame({"prediction": levels + slopes * point}), float(np.sin(frequency * point)), noise


def _random_features(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Examples to fit and fresh ones: y, and its inputs through random ReLUs."""
    teacher = rng.standard_normal(INPUTS) / np.sqrt(INPUTS)
    directions = rng.standard_normal((INPUTS, FEATURES))

    def examples(count: int) -> pd.DataFrame:
        x = rng.standard_normal((count, INPUTS))
        features = np.maximum(x @ directions, 0) / np.sqrt(FEATURES)
        table = pd.DataFrame(features, columns=[f"f{place}" for place in range(1, FEATURES + 1)])
        return table.assign(y=x @ teacher + 0.5 * rng.standard_normal(count))

    return examples(EXAMPLES), examples(FRESH)


def _solve(tables: dict[str, pd.DataFrame], values: dict[str, float]) -> tuple[Exercise, ...]:
    return (
        _solve_bias(tables["lines"], values["truth"], values["noise"]),
        _solve_ridge(tables["sample"], tables["fresh"], values["ridge"]),
        _solve_examples(values["weights"], values["bits"], values["gap"]),
        *_solve_curve(tables["curve"]),
    )


def _solve_bias(lines: pd.DataFrame, truth: float, noise: float) -> Exercise:
    said = lines["prediction"].to_numpy()
    bias, variance = float(said.mean()) - truth, float(said.var())
    error = bias**2 + variance + noise**2
    return Exercise(
        bias**2 / error,
        (
            Mistake(bias**2 / (bias**2 + variance), "A new y has noise of its own: it belongs to the error."),
            Mistake(variance / error, "That is the variance's share."),
            Mistake(abs(bias) / error, "The bias is squared."),
        ),
    )


def _solve_ridge(sample: pd.DataFrame, fresh: pd.DataFrame, ridge: float) -> Exercise:
    def error(features: int, ridge: float) -> float:
        (X, y), (X_fresh, y_fresh) = (
            (table.to_numpy()[:, :features], table["y"].to_numpy()) for table in (sample, fresh)
        )
        # With ridge 0 and as many features as examples or more, the least-norm solution: X' (X X')^-1 y.
        w = X.T @ np.linalg.solve(X @ X.T + ridge * np.eye(len(X)), y)
        return float(((X_fresh @ w - y_fresh) ** 2).mean())

    factor = error(EXAMPLES, 0) / error(EXAMPLES, ridge)
    return Exercise(
        factor,
        (
            Mistake(1 / factor, "The other way round: least squares over ridge."),
            Mistake(factor**0.5, "That compares root mean squares."),
            Mistake(error(FEATURES, 0) / error(FEATURES, ridge), "That is with all features."),
            Mistake(
                error(EXAMPLES, 0) / error(EXAMPLES, EXAMPLES * ridge),
                "The ridge is added to X'X itself, not times the number of examples.",
            ),
        ),
    )


def _solve_examples(weights: float, bits: float, gap: float) -> Exercise:
    size, one = weights * bits * np.log(2), np.log(2 / (1 - PROBABILITY))
    n = float((size + one) / (2 * gap**2))
    return Exercise(
        n,
        (
            Mistake(n / np.log(2), "The logarithm of the class's size is natural: 2^k has k ln 2."),
            Mistake(2 * n, "Under the root stands 2n, not n."),
            Mistake(n * gap, "A gap half as wide takes four times the examples: the gap is squared."),
            Mistake(float(one / (2 * gap**2)), "That is for one predictor. How many could have come out?"),
        ),
    )


def _solve_curve(curve: pd.DataFrame) -> tuple[Exercise, Exercise]:
    beta = float(fit(load_runs(curve), law="hestness", bootstrap=0).params["beta"] or 0)
    D, loss = np.asarray(curve["n_tokens"]), np.asarray(curve["loss"])
    straight = -float(np.polyfit(np.log(D), np.log(loss), 1)[0])
    halving = 2 ** (1 / beta)
    return (
        Exercise(
            beta,
            (
                Mistake(
                    straight, "A straight line in logarithms has no floor: the loss tends to E, not to 0."
                ),
                Mistake(-beta, "B is divided by D^beta: beta is positive."),
            ),
        ),
        Exercise(
            halving,
            (
                Mistake(4.0, "That is at n^-1/2, the rate of the bounds. What is your curve's?"),
                Mistake(2.0, "That is at n^-1. What is your curve's?"),
                Mistake(2**beta, "That is by how much twice the data shrink it. What undoes a factor of 2?"),
                Mistake(2 ** (1 / straight), "That halves the whole loss, by a law without a floor."),
            ),
            tolerance=0.03,
        ),
    )
