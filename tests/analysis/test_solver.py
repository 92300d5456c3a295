"""The batched solver: true gradients, exact recovery, masks, and no trace left in JAX's settings."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from isoflop.analysis import find_law
from isoflop.analysis.laws.evaluate import evaluate, float64_on_cpu
from isoflop.analysis.solver.certificate import certify, same_optimum
from isoflop.analysis.solver.solver import LEAST_SQUARES, FitProblem, Pull, huber, solve
from isoflop.analysis.solver.starts import box_starts
from tests.support.surfaces import BESIROGLU, spread_runs


def design(
    R: int = 40, sd: float = 0.01, space: str = "log", delta: float = 1e-3
) -> tuple[FitProblem, np.ndarray]:
    """Spread runs as a design and its losses."""
    frame = spread_runs(R, sd)
    N_R, D_R = (frame[name].to_numpy() for name in ("n_params", "n_tokens"))
    return FitProblem(find_law("chinchilla"), N_R, D_R, space, delta), frame["loss"].to_numpy()


def objective(d: FitProblem, theta: np.ndarray, loss_R: np.ndarray) -> float:
    """The sum of Huber losses, written out in numpy."""
    n0, d0 = d.centre
    with float64_on_cpu():
        params = np.asarray(d.law.decode(theta, n0, d0))
    predicted_R = evaluate(d.law, params, d.N_R, d.D_R)
    residual = np.log(loss_R / predicted_R) if d.space == "log" else loss_R - predicted_R
    size, weight = np.abs(residual), np.where(residual < 0, d.overestimate_weight, 1.0)
    return float((weight * np.where(size <= d.delta, size**2 / 2, d.delta * (size - d.delta / 2))).sum())


def test_huber_joins_smoothly() -> None:
    with float64_on_cpu():
        slope = jax.grad(lambda r: huber(r, jnp.asarray(0.1)))
        assert float(slope(0.1 - 1e-9)) == pytest.approx(float(slope(0.1 + 1e-9)), abs=1e-7)
        assert float(huber(jnp.asarray(0.3), jnp.asarray(0.1))) == pytest.approx(0.1 * (0.3 - 0.05))


@pytest.mark.parametrize("weight", [1.0, 10.0])
@pytest.mark.parametrize(("space", "delta"), [("log", 1e-3), ("log", LEAST_SQUARES), ("raw", 1e-2)])
def test_the_optimum_is_one_by_finite_differences(space: str, delta: float, weight: float) -> None:
    d, loss_R = design(space=space, delta=delta)
    d = dataclasses.replace(d, overestimate_weight=weight)
    end = solve(d, box_starts(d, loss_R, 16), loss_R[None], np.ones((1, len(loss_R))))
    best = int(np.argmin(end.objective_S))
    value = objective(d, end.theta_SxP[best], loss_R)
    assert end.objective_S[best] == pytest.approx(value, rel=1e-10)
    for p in range(5):
        for step in (1e-4, -1e-4):
            moved = end.theta_SxP[best].copy()
            moved[p] += step
            assert objective(d, moved, loss_R) > value


def test_no_other_optimizer_does_better() -> None:
    d, loss_R = design()
    end = solve(d, box_starts(d, loss_R, 16), loss_R[None], np.ones((1, len(loss_R))))
    best = int(np.argmin(end.objective_S))
    rival = minimize(
        lambda theta: objective(d, theta, loss_R),
        end.theta_SxP[best] + 0.01,
        method="Nelder-Mead",
        options={"maxiter": 4000, "maxfev": 4000, "xatol": 1e-10, "fatol": 1e-14},
    )
    assert end.objective_S[best] <= rival.fun * (1 + 1e-9)


def test_every_start_of_the_box_reaches_the_optimum() -> None:
    d, loss_R = design(80)
    end = solve(d, box_starts(d, loss_R, 256), loss_R[None], np.ones((1, len(loss_R))))
    assert same_optimum(end.objective_S, len(loss_R)).mean() > 0.95


def test_weights_count_rows() -> None:
    d, loss_R = design()
    start = box_starts(d, loss_R, 2)[:1]
    twice = np.ones((1, 40))
    twice[0, 7] = 2.0
    weighted = solve(d, start, loss_R[None], twice)
    doubled = FitProblem(d.law, np.append(d.N_R, d.N_R[7]), np.append(d.D_R, d.D_R[7]), "log", 1e-3)
    repeated = solve(doubled, box_starts(doubled, np.append(loss_R, loss_R[7]), 2)[:1],
                     np.append(loss_R, loss_R[7])[None], np.ones((1, 41)))  # fmt: skip
    np.testing.assert_allclose(weighted.params_SxP, repeated.params_SxP, rtol=1e-6)


@pytest.mark.parametrize("delta", [1e-3, LEAST_SQUARES])
def test_a_pull_ends_on_the_profile(delta: float) -> None:
    """The best objective among all theta with alpha where the pull left it, by an optimizer of its own."""
    d, loss_R = design(delta=delta)
    ones = np.ones((1, 40))
    end = solve(d, box_starts(d, loss_R, 16), loss_R[None], ones)
    theta = end.theta_SxP[[end.best]]
    pull = Pull(np.eye(5)[[2]], theta[:, 2] * 1.2, np.array([1e3]))
    held = solve(d, theta, loss_R[None], ones, pull, warm=True)
    alpha = held.theta_SxP[0, 2]
    assert abs(alpha - theta[0, 2] * 1.2) < 0.02 * theta[0, 2]
    assert held.objective_S[0] > end.objective_S[end.best]

    def others(free: np.ndarray) -> float:
        return objective(d, np.insert(free, 2, alpha), loss_R)

    start = np.delete(held.theta_SxP[0], 2) + 0.003
    options = {"maxiter": 6000, "maxfev": 6000, "xatol": 1e-10, "fatol": 1e-15}
    rival = minimize(others, start, method="Nelder-Mead", options=options)
    assert held.objective_S[0] <= rival.fun * (1 + 1e-7)


def test_an_amplitude_that_the_data_leave_out_ends_at_its_bound() -> None:
    """Losses without an irreducible part, pushed below: E is held at zero with the gradient against it."""
    d, _ = design(sd=0.0)
    loss_R = 30.0 / d.N_R**0.12 + 200.0 / d.D_R**0.25 - 0.1
    end = solve(d, box_starts(d, loss_R, 32), loss_R[None], np.ones((1, 40)))
    found = certify(d, loss_R, end)
    assert end.params_SxP[end.best, 0] == 0.0
    assert "E" in found.bounds
    assert found.status == "certified"


def test_noise_far_beyond_delta_is_no_obstacle() -> None:
    """15% noise at delta 1e-3 is nearly least absolute deviations: its kinks used to stop the search."""
    for seed in range(3):
        frame = spread_runs(60, 0.15, seed)
        N_R, D_R = (frame[name].to_numpy() for name in ("n_params", "n_tokens"))
        d = FitProblem(find_law("chinchilla"), N_R, D_R, "log", 1e-3)
        loss_R = frame["loss"].to_numpy()
        found = certify(d, loss_R, solve(d, box_starts(d, loss_R, 64), loss_R[None], np.ones((1, 60))))
        assert found.status == "certified", found


@pytest.mark.parametrize("name", ["chinchilla", "gadre", "skaling"])
def test_variable_projection_is_the_full_least_squares(name: str) -> None:
    """On the raw loss with the amplitudes solved for, against the same objective searched in full."""
    frame = spread_runs(50, 0.01)
    N_R, D_R, loss_R = (frame[n].to_numpy() for n in ("n_params", "n_tokens", "loss"))
    d = FitProblem(find_law(name), N_R, D_R, "raw", LEAST_SQUARES)
    assert d.projected
    start = box_starts(d, loss_R, 24)
    projected = solve(d, start, loss_R[None], np.ones((1, 50)))
    nothing = Pull(np.zeros((1, start.shape[1])), np.zeros(1), np.full(1, 1e-300))
    full = solve(d, start, loss_R[None], np.ones((1, 50)), nothing)
    best, other = projected.objective_S.min(), np.nanmin(full.objective_S)
    assert best == pytest.approx(other, rel=1e-9)
    np.testing.assert_allclose(projected.params_SxP[projected.best], full.params_SxP[full.best], rtol=2e-4)


def test_residuals_are_scaled_before_the_loss() -> None:
    """A run whose noise is called tenfold moves the fit less; one called infinite is not there."""
    d, loss_R = design()
    spoilt = loss_R.copy()
    spoilt[3] *= 1.5
    scale = np.ones(40)
    scale[3] = 1e-9
    quiet = dataclasses.replace(d, scale=scale, delta=LEAST_SQUARES)
    without = np.arange(40) != 3
    plain = dataclasses.replace(d, N_R=d.N_R[without], D_R=d.D_R[without], delta=LEAST_SQUARES)
    a = solve(quiet, box_starts(quiet, spoilt, 8), spoilt[None], np.ones((1, 40)))
    b = solve(plain, box_starts(plain, loss_R[without], 8), loss_R[None, without], np.ones((1, 39)))
    np.testing.assert_allclose(a.params_SxP[a.best], b.params_SxP[b.best], rtol=1e-6)


def test_exact_data_give_back_the_truth() -> None:
    d, loss_R = design(sd=0.0)
    end = solve(d, box_starts(d, loss_R, 8), loss_R[None], np.ones((1, len(loss_R))))
    np.testing.assert_allclose(end.params_SxP[int(np.argmin(end.objective_S))], BESIROGLU, rtol=1e-6)


def test_importing_and_fitting_change_no_setting_of_jax() -> None:
    code = (
        "import jax, sys; before = dict(jax.config.values)\n"
        "import isoflop.analysis as analysis, pandas as pd\n"
        "unwanted = [m for m in ('flax', 'wandb', 'tensorflow_datasets', 'optax', 'matplotlib', "
        "'jinja2') if m in sys.modules]\n"
        "assert not unwanted, unwanted\n"
        "own = [m for m in ('models', 'train', 'sweeps') if f'isoflop.{m}' in sys.modules]\n"
        "assert not own, own\n"
        "N = [1e6, 2e6, 4e6, 8e6, 3e6, 5e6, 7e6]; D = [1e8, 9e8, 2e8, 4e8, 8e8, 3e8, 1e9]\n"
        "L = [1.7 + 400 / n**.34 + 410 / d**.28 for n, d in zip(N, D)]\n"
        "t = analysis.table_of(pd.DataFrame({'n_params': N, 'n_tokens': D, 'loss': L}))\n"
        "analysis.fit(t, analysis.FitOptions(bootstrap=0, starts=4))\n"
        "after = dict(jax.config.values); assert before == after, [k for k in after if before.get(k) "
        "!= after[k]]\n"
        "assert jax.numpy.ones(1).dtype == 'float32'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
