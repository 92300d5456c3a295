"""A target and its interval from runs whose trunks share noise: generalized least squares on the log loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.analysis.compute import PerToken
from isoflop.analysis.design.space import Space
from isoflop.analysis.design.targets import Target
from isoflop.analysis.laws import Law
from isoflop.analysis.laws.evaluate import evaluate, float64_on_cpu, vectorized
from isoflop.analysis.result import Misfit
from isoflop.analysis.solver.certificate import sensitivity
from isoflop.analysis.solver.newton import AT_BOUND
from isoflop.analysis.solver.solver import LEAST_SQUARES, FitProblem, bounds_of, solve
from isoflop.analysis.solver.starts import box_starts
from isoflop.analysis.uncertainty.misfit import misfit
from isoflop.analysis.uncertainty.trunk_noise import Posterior, common, posterior
from isoflop.base.errors import UserError

METHOD = "least squares with trunk effects"
"""What this estimates by, in words; `isoflop fit` fits by the Huber loss unless asked otherwise."""
STARTS, KEPT = 64, 8
"""Starting points that are looked at, and those of them that the search begins from."""
STEPS, HALVINGS = 25, 8
CLOSE = 1e-8
"""Largest change of a predicted log loss that ends the search."""
STEP = 2e-3
"""Of the central difference of the target: N_opt is found on a grid, whose rounding must not show."""


@dataclass(frozen=True)
class Runs:
    """R finished runs: parameters, tokens, loss in nats per token, the number of each run's trunk from 0, and
    the law's covariates."""

    N_R: np.ndarray
    D_R: np.ndarray
    loss_R: np.ndarray
    trunk_R: np.ndarray
    extra: tuple[np.ndarray, ...] = ()

    @property
    def inputs(self) -> tuple[np.ndarray, ...]:
        """What the law takes."""
        return (self.N_R, self.D_R, *self.extra)

    def at(self, keep_R: np.ndarray) -> Runs:
        """These runs alone, their trunks numbered anew."""
        trunk_R = np.unique(self.trunk_R[keep_R], return_inverse=True)[1].reshape(-1)
        extra = tuple(x[keep_R] for x in self.extra)
        return Runs(self.N_R[keep_R], self.D_R[keep_R], self.loss_R[keep_R], trunk_R, extra)


@dataclass(frozen=True)
class Estimate:
    """A target's value and interval, and what a design needs to know of the fit."""

    target: Target
    value: float
    interval: tuple[float, float]
    half_width: float
    """As `Target.width` has it: of a size relative, else in the target's own unit."""
    level: float
    params: dict[str, float]
    noise: Posterior
    misfit: Misfit | None
    """Whether the law follows the runs; None where no run is left to judge by."""
    design: FitProblem
    """The law at the distinct (N, D)."""
    theta_P: np.ndarray
    free_P: np.ndarray
    """Parameters that are not held at a bound."""
    gradient_P: np.ndarray
    """Of the target (its log, where it is relative) in theta, over the free ones."""

    @property
    def params_P(self) -> np.ndarray:
        """In the law's order."""
        return np.array(list(self.params.values()))

    def predict(self, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
        """The loss at N, D and covariates, nats per token."""
        return evaluate(self.design.law, self.params_P, *inputs)

    def slopes(self, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
        """Derivative of the predicted log loss in the free coordinates at K inputs, KxP."""
        return np.nan_to_num(sensitivity(self.design, self.theta_P, inputs))[:, self.free_P]

    def slopes_over(self, space: Space) -> np.ndarray:
        """The same at every cell of a space, FxBxP; covariates have their defaults."""
        N_FxB = np.broadcast_to(space.N_F[:, None], space.D_FxB.shape)
        C_FxB = np.broadcast_to(space.budget_B, N_FxB.shape)
        inputs = (N_FxB.ravel(), space.D_FxB.ravel())
        extra = self.design.law.fill(*inputs, C_FxB.ravel())
        return self.slopes((*inputs, *extra)).reshape(*N_FxB.shape, -1)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What to warn of: a law that misses the runs beyond chance."""
        if self.misfit is None or not self.misfit.rejected:
            return ()
        return (self.misfit.doubt(self.design.law.name),)

    @property
    def information(self) -> np.ndarray:
        """Inverse covariance of the free coordinates over the total variance, PxP, at the expected share."""
        return np.einsum("k,kpq->pq", self.noise.weight_K, self.noise.information_KxPxP)


def estimate(
    runs: Runs, law: Law, target: Target, cost: PerToken, C_K: np.ndarray, level: float = 0.95
) -> Estimate:
    """The target's interval at `level`, which the runs' trunks and their own noise leave.

    `cost`: training FLOPs per token at a size; `C_K`: see `Target.values`. The interval is that of the law
    linearized at its best parameters, with the trunk's share of the noise integrated out (`Posterior`): wide
    where trunks or runs are few. It holds if the law does; `misfit` doubts it.

    Raises:
        UserError: no more runs or distinct (N, D) than the law has parameters, or no start leads anywhere.
    """
    P = len(law.parameters)
    points, at_R = np.unique(np.stack(runs.inputs), axis=1, return_inverse=True)
    at_R = at_R.reshape(-1)
    if min(len(runs.loss_R) - 1, points.shape[1]) < P:
        raise UserError(
            f"{len(runs.loss_R)} runs at {points.shape[1]} distinct (N, D) leave nothing to judge the {P} "
            f"parameters of {law.name} by: add runs"
        )
    design = FitProblem(law, points[0], points[1], "log", LEAST_SQUARES, tuple(points[2:]))
    theta_P, free_P, found, J_RxP, residual_R = _fitted(design, at_R, runs)
    params_P = _decoded(design, theta_P[None])[0]
    gradient_P = gradient_of(target, design, theta_P, C_K, cost)[free_P]
    value = float(target.values(law, params_P[None], C_K, cost)[0])
    if np.all(np.isfinite(gradient_P)) and np.isfinite(value):
        low, high = (value + end for end in found.interval(gradient_P, level))
    else:
        low, high = -np.inf, np.inf
    return Estimate(
        target=target,
        value=target.shown(value),
        interval=(target.shown(low), target.shown(high)),
        half_width=target.width(low, high) if np.isfinite(high - low) else float("inf"),
        level=level,
        params=dict(zip(law.parameters, params_P.tolist(), strict=True)),
        noise=found,
        misfit=misfit(J_RxP, residual_R, runs.inputs, runs.trunk_R),
        design=design,
        theta_P=theta_P,
        free_P=free_P,
        gradient_P=np.nan_to_num(gradient_P),
    )


def _fitted(design: FitProblem, at_R: np.ndarray, runs: Runs):
    """theta, which of it is free, the posterior there, and the Jacobian and residuals it is of.

    Steps of Gauss and Newton, each to the best coefficients of the model linearized where it stands.
    """
    lower_P, upper_P = bounds_of(design.law)
    log_loss_R = np.log(runs.loss_R)
    theta_P = _start(design, at_R, log_loss_R)

    J_RxP, residual_R, free_P = linearized(design, theta_P, log_loss_R, at_R)
    found = posterior(J_RxP, residual_R, runs.trunk_R)
    for _ in range(STEPS):
        move_P = np.zeros(len(theta_P))
        move_P[free_P] = found.weight_K @ found.shift_KxP
        here = _weighed(residual_R, runs.trunk_R, found.share)
        if np.max(np.abs(J_RxP @ move_P[free_P])) < CLOSE:
            break
        for halving in range(HALVINGS):
            tried_P = np.clip(theta_P + move_P / 2**halving, lower_P, upper_P)
            attempt = linearized(design, tried_P, log_loss_R, at_R)
            if _weighed(attempt[1], runs.trunk_R, found.share) <= here:
                theta_P, (J_RxP, residual_R, free_P) = tried_P, attempt
                break
        else:
            break
        found = posterior(J_RxP, residual_R, runs.trunk_R)
    return theta_P, free_P, found, J_RxP, residual_R


def linearized(
    design: FitProblem, theta_P: np.ndarray, log_loss_R: np.ndarray, at_R: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Jacobian of the log loss in the free coordinates, residuals, and which coordinates are free.

    `at_R`: the position of each run's inputs among those of the design.
    """
    lower_P, upper_P = bounds_of(design.law)
    params_P = _decoded(design, theta_P[None])[0]
    residual_R = log_loss_R - np.log(evaluate(design.law, params_P, *design.inputs))[at_R]
    held = (theta_P <= lower_P + AT_BOUND) | (theta_P >= upper_P - AT_BOUND)
    J_RxP = np.nan_to_num(sensitivity(design, theta_P, design.inputs))[at_R]
    return J_RxP[:, ~held], residual_R, ~held


def _start(design: FitProblem, at_R: np.ndarray, log_loss_R: np.ndarray) -> np.ndarray:
    """theta of plain least squares, the best of many starts, on the means of equal (N, D)."""
    runs_K = np.bincount(at_R)
    loss_K = np.exp(np.bincount(at_R, log_loss_R) / runs_K)
    starts_SxP = box_starts(design, loss_K, STARTS)
    with np.errstate(all="ignore"):
        away_SxK = np.log(evaluate(design.law, _decoded(design, starts_SxP), *design.inputs) / loss_K)
    order = np.argsort(np.nan_to_num(away_SxK**2, nan=np.inf, posinf=np.inf) @ runs_K, kind="stable")
    found = solve(design, starts_SxP[order[:KEPT]], loss_K[None], runs_K[None].astype(float))
    if not np.isfinite(found.objective_S).any():
        raise UserError(f"{design.law.name} cannot be evaluated on these runs: check N, D and loss")
    return found.theta_SxP[found.best]


def _weighed(residual_R: np.ndarray, trunk_R: np.ndarray, share: float) -> float:
    """The sum of squares that generalized least squares minimizes, times one less the share."""
    if not np.isfinite(residual_R).all():  # a step too far: the law is infinite there, or not positive
        return np.inf
    kappa_T = common(share, np.bincount(trunk_R))
    value = residual_R @ residual_R - kappa_T @ np.bincount(trunk_R, residual_R) ** 2
    return float(value) if np.isfinite(value) else float("inf")


def gradient_of(
    target: Target, design: FitProblem, theta_P: np.ndarray, C_K: np.ndarray, cost: PerToken
) -> np.ndarray:
    """Derivative of the target (its log, where it is relative) in theta, P."""
    P = len(theta_P)
    moves = STEP * np.concatenate([np.eye(P), -np.eye(P)])
    theta_MxP = np.clip(theta_P + moves, *bounds_of(design.law))
    values_M = target.values(design.law, _decoded(design, theta_MxP), C_K, cost)
    apart_P = np.diagonal(theta_MxP[:P] - theta_MxP[P:])
    return (values_M[:P] - values_M[P:]) / apart_P


def _decoded(design: FitProblem, theta_BxP: np.ndarray) -> np.ndarray:
    with float64_on_cpu():
        decode = vectorized(design.law.decode, (0, None, None))
        return np.asarray(decode(theta_BxP, *design.centre), dtype=float)
