"""A target and its interval from runs whose trunks share noise: by the fit itself, or by least squares."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from isoflop.analysis.compute import PerToken, per_token
from isoflop.analysis.design.space import Space
from isoflop.analysis.design.targets import Target
from isoflop.analysis.laws import Law, find_law
from isoflop.analysis.laws.evaluate import decoded, encoded, evaluate
from isoflop.analysis.planning.prediction import predict
from isoflop.analysis.result import LawFit, Misfit
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.solver.linearize import linearized, sensitivity
from isoflop.analysis.solver.search import ONE_CALL, covariates, search
from isoflop.analysis.solver.solver import LEAST_SQUARES, FitProblem, bounds_of, solve
from isoflop.analysis.uncertainty.misfit import misfit, usual_runs
from isoflop.analysis.uncertainty.quantities import budget_range
from isoflop.analysis.uncertainty.resampling import trunks_of
from isoflop.analysis.uncertainty.trunk_noise import Posterior, posterior, whitening
from isoflop.base.errors import UserError

METHOD = "least squares with trunk effects"
"""What `estimate` estimates by, in words; `isoflop fit` fits by the Huber loss unless asked otherwise."""
TARGET_STEP = 2e-3
"""Step in theta of the target's central differences: N_opt is found on a grid, whose rounding must not
show."""


@dataclass(frozen=True)
class FinishedRuns:
    """R finished runs: parameters, tokens, loss in nats per token, the number of each run's trunk from 0, and
    the law's covariates."""

    N_R: np.ndarray
    D_R: np.ndarray
    loss_R: np.ndarray
    trunk_R: np.ndarray
    extra: tuple[np.ndarray, ...] = ()

    @classmethod
    def of_table(cls, table: RunTable, law: Law) -> FinishedRuns:
        """The table's runs; each that shares no trunk is a trunk of its own."""
        trunk_R = trunks_of(table)
        own_R = np.arange(len(table)) if trunk_R is None else trunk_R
        return cls(table.N_R, table.D_R, table.loss_R, own_R, covariates(table, law))

    def problem(self, law: Law, share: float = 0.0) -> FitProblem:
        """Generalized least squares of the law on the log loss, at a trunk's share of the variance."""
        whitened = whitening(share, self.trunk_R)
        return FitProblem(law, self.N_R, self.D_R, "log", LEAST_SQUARES, self.extra, whitening=whitened)

    def at(self, keep_R: np.ndarray) -> FinishedRuns:
        """These runs alone, their trunks numbered anew."""
        trunk_R = np.unique(self.trunk_R[keep_R], return_inverse=True)[1].reshape(-1)
        extra = tuple(x[keep_R] for x in self.extra)
        return FinishedRuns(self.N_R[keep_R], self.D_R[keep_R], self.loss_R[keep_R], trunk_R, extra)


@dataclass(frozen=True)
class Estimate:
    """A target's value and interval, and what the choice of further runs needs to know of the fit."""

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
    problem: FitProblem
    theta_P: np.ndarray
    free_P: np.ndarray
    """Parameters that are not held at a bound."""
    gradient_P: np.ndarray
    """Derivative of the target (of its log, where it is relative) in theta, over the free ones."""

    @property
    def params_P(self) -> np.ndarray:
        """The parameters in the law's order."""
        return np.array(list(self.params.values()))

    def predict(self, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
        """The loss at N, D and covariates, nats per token."""
        return evaluate(self.problem.law, self.params_P, *inputs)

    def slopes(self, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
        """Derivative of the predicted log loss in the free coordinates at K inputs, KxP."""
        return np.nan_to_num(sensitivity(self.problem, self.theta_P, inputs))[:, self.free_P]

    def slopes_over(self, space: Space) -> np.ndarray:
        """The same at every cell of a space, FxBxP; covariates have their defaults."""
        N_FxB = np.broadcast_to(space.N_F[:, None], space.D_FxB.shape)
        C_FxB = np.broadcast_to(space.budget_B, N_FxB.shape)
        inputs = (N_FxB.ravel(), space.D_FxB.ravel())
        extra = self.problem.law.fill(*inputs, C_FxB.ravel())
        return self.slopes((*inputs, *extra)).reshape(*N_FxB.shape, -1)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What to warn of: a law that misses the runs beyond chance."""
        if self.misfit is None or not self.misfit.rejected:
            return ()
        return (self.misfit.doubt(self.problem.law.name),)

    @property
    def information(self) -> np.ndarray:
        """Inverse covariance of the free coordinates over the total variance, PxP, at the expected share."""
        return np.einsum("k,kpq->pq", self.noise.weight_K, self.noise.information_KxPxP)


def estimate(
    runs: FinishedRuns, law: Law, target: Target, cost: PerToken, C_K: np.ndarray, level: float = 0.95
) -> Estimate:
    """The target's interval at `level`, which the runs' trunks and their own noise leave.

    `cost`: training FLOPs per token at a size; `C_K`: see `Target.values`. The interval is that of the law
    linearized at its best parameters, with the trunk's share of the noise integrated out (`Posterior`): wide
    where trunks or runs are few. It holds if the law does; `misfit` doubts it.

    Raises:
        UserError: no more runs or distinct (N, D) than the law has parameters, or no start leads anywhere.
    """
    P, problem = len(law.parameters), runs.problem(law)
    points = np.unique(np.stack(problem.inputs), axis=1).shape[1]
    if min(len(runs.loss_R) - 1, points) < P:
        raise UserError(
            f"{len(runs.loss_R)} runs at {points} distinct (N, D) leave nothing to judge the {P} "
            f"parameters of {law.name} by: add runs"
        )
    theta_P = _generalized_least_squares(problem, runs)
    J_RxP, residual_R, free_P = linearized(problem, theta_P, runs.loss_R)
    found = posterior(J_RxP, residual_R, runs.trunk_R)
    params_P = decoded(law, theta_P, problem.centre)
    gradient_P = gradient_of(target, problem, theta_P, C_K, cost)[free_P]
    value = float(target.values(law, params_P[None], C_K, cost)[0])
    # The posterior is one of the step away from theta_P; the target moves by its gradient (the delta method).
    if np.all(np.isfinite(gradient_P)) and np.isfinite(value):
        low, high = (value + shift for shift in found.interval(gradient_P, level))
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
        misfit=misfit(J_RxP, residual_R, problem.inputs, runs.trunk_R),
        problem=problem,
        theta_P=theta_P,
        free_P=free_P,
        gradient_P=np.nan_to_num(gradient_P),
    )


def _generalized_least_squares(problem: FitProblem, runs: FinishedRuns) -> np.ndarray:
    """theta at the mean of its posterior, the trunk's share of the noise integrated out.

    Plain least squares from many starts says how large the share is; least squares of the residuals whitened
    at that share follows. The posterior is a mixture over shares, whose mean lies a few hundredths of the
    interval beside that optimum: one step of the linearized law leads there.
    """
    ones_1xR = np.ones((1, len(runs.loss_R)))
    plain = search(problem, runs.loss_R, ONE_CALL)
    theta_P = plain.theta_SxP[plain.best]
    J_RxP, residual_R, _ = linearized(problem, theta_P, runs.loss_R)
    share = posterior(J_RxP, residual_R, runs.trunk_R).share
    whitened = runs.problem(problem.law, share)
    theta_P = solve(whitened, theta_P[None], runs.loss_R[None], ones_1xR).theta_SxP[0]
    J_RxP, residual_R, free_P = linearized(problem, theta_P, runs.loss_R)
    found = posterior(J_RxP, residual_R, runs.trunk_R)
    move_P = np.zeros(len(theta_P))
    move_P[free_P] = found.weight_K @ found.shift_KxP
    # Where the runs leave a direction open the linear step means nothing: no coordinate moves further than 1.
    move_P /= max(1.0, float(np.abs(move_P).max()))
    return np.clip(theta_P + move_P, *bounds_of(problem.law))


def gradient_of(
    target: Target, problem: FitProblem, theta_P: np.ndarray, C_K: np.ndarray, cost: PerToken
) -> np.ndarray:
    """Derivative of the target (its log, where it is relative) in theta, P, by central differences."""
    P = len(theta_P)
    moves = TARGET_STEP * np.concatenate([np.eye(P), -np.eye(P)])
    theta_MxP = np.clip(theta_P + moves, *bounds_of(problem.law))  # one-sided at a bound
    values_M = target.values(problem.law, decoded(problem.law, theta_MxP, problem.centre), C_K, cost)
    # The steps as they were taken: half as long where a bound cut one of the two off.
    apart_P = np.diagonal(theta_MxP[:P] - theta_MxP[P:])
    return (values_M[:P] - values_M[P:]) / apart_P


def estimate_of_fit(table: RunTable, fitted: LawFit, target: Target) -> tuple[Estimate, Estimate | None]:
    """The target as the fit has it; and by generalized least squares with trunk effects, outliers set aside,
    where that is further from it than its own standard error.

    The first has the estimate and the interval that `isoflop fit` gives (of a size or a loss at a budget,
    `isoflop predict`). The information that each run carries, and the noise, are those of the law linearized
    at the fit's parameters, over the runs that the test of misfit does not set aside as outliers.

    `table`: the runs that were fitted. Raises `UserError` where the fit has no such target, or its runs leave
    an end of the target's interval open.
    """
    law, cost, C_K = find_law(fitted.law or ""), per_token(table), budget_range(table)
    runs = FinishedRuns.of_table(table, law)
    problem = runs.problem(law)
    theta_P = np.nan_to_num(encoded(law, fitted.params_P, problem.centre))
    J_RxP, residual_R, free_P = linearized(problem, theta_P, runs.loss_R)
    # The Huber loss that fits are made by pays outliers little heed; least squares must be spared them.
    keep_R = usual_runs(J_RxP, residual_R, problem.inputs, runs.trunk_R)
    usual = runs.at(keep_R)
    value, low, high, level = _reported(fitted, target)
    known = Estimate(
        target=target,
        value=value,
        interval=(low, high),
        half_width=target.width(*(math.log(x) if target.relative else x for x in (low, high))),
        level=level,
        params=dict(zip(law.parameters, fitted.params_P.tolist(), strict=True)),
        noise=posterior(J_RxP[keep_R], residual_R[keep_R], usual.trunk_R),
        misfit=fitted.misfit,
        problem=problem,
        theta_P=theta_P,
        free_P=free_P,
        gradient_P=np.nan_to_num(gradient_of(target, problem, theta_P, C_K, cost)[free_P]),
    )
    try:
        other = estimate(usual, law, target, cost, C_K, level)
    except UserError:
        return known, None
    return known, other if _disagree(known, other) else None


def _reported(fitted: LawFit, target: Target) -> tuple[float, float, float, float]:
    """Estimate, interval and its level, as `isoflop fit` and `isoflop predict` print them."""
    if fitted.intervals is None:
        raise UserError("which runs next rests on the fit's intervals: fit with a bootstrap")
    if target.flops is None:
        value, interval = fitted.exponents[target.name], fitted.intervals.exponents[target.name]
    else:
        found = predict(fitted, target.flops, force=True)
        value = found.n_opt if target.name == "n_opt" else found.loss
        interval = found.n_interval if target.name == "n_opt" else found.loss_interval
    low, high = interval or (None, None)
    if value is None or not math.isfinite(value):
        raise UserError(
            f"the fitted {fitted.law} has no {target}: its loss falls to an end of the sizes; add sizes"
        )
    if low is None or high is None:
        raise UserError(f"these runs leave the interval of {target} open: add sizes and budgets first")
    return value, low, high, fitted.intervals.level


def _disagree(known: Estimate, other: Estimate) -> bool:
    """Whether the other estimate lies further from the fit's than the other's standard error."""
    if not math.isfinite(other.half_width):
        return False
    here, there = (math.log(e.value) if e.target.relative else e.value for e in (known, other))
    spread = math.log1p(other.half_width) if known.target.relative else other.half_width
    return abs(here - there) > spread / float(ndtri((1 + other.level) / 2))
