"""The solver against NIST's certified nonlinear regression problems (Statistical Reference Datasets).

https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml; the data are in the public domain. NIST certifies
eleven digits, from 128-bit arithmetic; data and certified values are in `nist/`, a file a problem.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isoflop.analysis.laws import Law
from isoflop.analysis.laws.evaluate import float64_on_cpu
from isoflop.analysis.solver.newton import by_autodiff, minimize
from isoflop.analysis.solver.solver import LEAST_SQUARES, FitProblem, solve

Model = Callable[[Any, Any], Any]

MODELS: dict[str, Model] = {
    "Misra1a": lambda b, x: b[0] * -jnp.expm1(-b[1] * x),
    "BoxBOD": lambda b, x: b[0] * -jnp.expm1(-b[1] * x),
    "Kirby2": lambda b, x: (b[0] + b[1] * x + b[2] * x**2) / (1 + b[3] * x + b[4] * x**2),
    "Hahn1": lambda b, x: (
        (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3) / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3)
    ),
    "Thurber": lambda b, x: (
        (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3) / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3)
    ),
    "MGH09": lambda b, x: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
    "MGH17": lambda b, x: b[0] + b[1] * jnp.exp(-x * b[3]) + b[2] * jnp.exp(-x * b[4]),
    "Rat43": lambda b, x: b[0] / (1 + jnp.exp(b[1] - b[2] * x)) ** (1 / b[3]),
    "Eckerle4": lambda b, x: b[0] / b[1] * jnp.exp(-0.5 * ((x - b[2]) / b[1]) ** 2),
    "Bennett5": lambda b, x: b[0] * (b[1] + x) ** (-1 / b[2]),
}
LINEAR_IN_THE_FIRST = ("Misra1a", "BoxBOD", "Rat43", "Eckerle4")
DIGITS = 7
"""Significant digits that have to agree; from either start at least 7.9 do (Rat43's first), mostly nine or
more."""


def certified(name: str) -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "nist" / f"{name}.json").read_text())


def digits(found: np.ndarray, truth: np.ndarray) -> float:
    """The least number of significant digits that agree: NIST's log relative error."""
    return float(-np.log10(np.max(np.abs(found - truth) / np.abs(truth)) + 1e-16))


def newton(name: str, start: np.ndarray) -> tuple[np.ndarray, float]:
    """Parameters and residual sum of squares by the solver's Newton method, in units of the start's size."""
    problem, model = certified(name), MODELS[name]
    x_R, y_R, P = np.array(problem["x"]), np.array(problem["y"]), len(start)
    unit = np.abs(start)

    def objective(theta: jax.Array, _delta: jax.Array) -> jax.Array:
        return 0.5 * jnp.sum((y_R - model(theta * unit, x_R)) ** 2)

    free = np.full(P, np.inf)
    with float64_on_cpu():
        end = jax.jit(
            lambda theta: minimize(
                by_autodiff(objective), lambda x, move, delta, top, slope: top,
                theta, jnp.array([LEAST_SQUARES]), jnp.asarray(0), jnp.asarray(5000), -free, free,
            )
        )(start / unit)  # fmt: skip
        return np.asarray(end.theta) * unit, 2 * float(end.value)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("name", MODELS)
def test_newton_finds_the_certified_parameters(name: str, which: int) -> None:
    problem = certified(name)
    found, squares = newton(name, np.array(problem["starts"][which]))
    assert digits(found, np.array(problem["certified"])) >= DIGITS
    assert squares == pytest.approx(problem["residual_sum_of_squares"], rel=1e-8)


def law_of(name: str, unit: np.ndarray, linear: tuple[int, ...]) -> Law:
    """A problem as a law of N alone, its theta in units of the start's size."""
    model = MODELS[name]
    return Law(
        name=name,
        parameters=tuple(f"b{p + 1}" for p in range(len(unit))),
        equation=name,
        source="NIST StRD",
        predict=lambda params, N, D: model(params, N) + 0.0 * D,
        encode=lambda params, n0, d0: params / unit,
        decode=lambda theta, n0, d0: theta * unit,
        start_box=((0.5, 2.0),) * len(unit),
        linear=linear,
    )


@pytest.mark.parametrize("linear", [(), (0,)], ids=["in full", "amplitude projected"])
@pytest.mark.parametrize("name", LINEAR_IN_THE_FIRST)
def test_a_fit_of_a_law_of_ones_own_finds_them(name: str, linear: tuple[int, ...]) -> None:
    """The batched least squares that fits laws, with and without variable projection."""
    problem = certified(name)
    start, x_R, y_R = (np.array(problem[key]) for key in ("starts", "x", "y"))
    unit = np.abs(start[1])
    law = law_of(name, unit, linear)
    fit = FitProblem(law, x_R, np.ones_like(x_R), "raw", LEAST_SQUARES)
    assert fit.projected == bool(linear)
    end = solve(fit, start / unit, y_R[None], np.ones((1, len(y_R))))
    assert digits(end.params_SxP[end.best], np.array(problem["certified"])) >= DIGITS
    assert 2 * end.objective_S[end.best] == pytest.approx(problem["residual_sum_of_squares"], rel=1e-8)
