"""Predictive intervals: where a run that is not trained yet, or an IsoFLOP's minimum, will come to lie.

A draw is a law (the fit's own, or one of the others that were fitted to the same runs, each as often), a
bootstrap draw of its parameters, and on top of it the noise of a run. So an interval has three parts: the
run's noise, the fit's uncertainty, and the form of the law. All comes from the `LawFit` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from isoflop.analysis.isoflops.minima import CURVES
from isoflop.analysis.laws import Law, find_law
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.result import LawFit, optimal_size
from isoflop.analysis.uncertainty.intervals import Interval, span, span_with
from isoflop.analysis.uncertainty.run_noise import SIGMA
from isoflop.base.errors import UserError

DRAWS = 4000
"""Draws of a predictive interval: its ends then move by a fiftieth of its width from seed to seed."""
SIZES = 1.6 ** np.arange(-2.0, 3.0)
"""Sizes over N_opt of the IsoFLOP by which a minimum is measured, unless it is said: five, a factor apart."""
NO_FORMS = (
    "the interval has no part for the law's form: no other law was fitted to these runs; fit with --forms"
)

Extra = Callable[[Law], tuple[np.ndarray, ...]]
"""The covariates that a law needs at the points of a prediction."""


@dataclass(frozen=True)
class Parts:
    """Half-widths of the intervals that each cause would leave alone, nats per token."""

    noise: float
    """A run's, or of a minimum that of the curve through its runs."""
    fit: float | None
    """Of the fitted law's bootstrap; None without one."""
    form: float | None
    """Half the range of what the laws predict, each at its best fit; None where no other was fitted."""


@dataclass(frozen=True)
class PredictedRun:
    """A run of N parameters on D tokens, as it will be measured. `loss`: the fitted law's, nats per token."""

    n: float
    d: float
    flops: float
    loss: float
    interval: Interval
    level: float
    parts: Parts


@dataclass(frozen=True)
class PredictedMinimum:
    """The minimum of an IsoFLOP at `flops`, as a curve through runs of `sizes` parameters will show it."""

    flops: float
    n_opt: float
    n_interval: Interval
    loss_opt: float
    loss_interval: Interval
    level: float
    parts: Parts
    """Of the loss."""
    sizes: tuple[float, ...]
    seeds: int


@dataclass(frozen=True)
class _Form:
    """One law of the mixture. `spread`: its residuals' over those of the fit's own law."""

    law: Law
    params_P: np.ndarray
    draws_BxP: np.ndarray
    spread: float


def predicted_run(
    fit: LawFit, N: float, D: float, *covariates: float, level: float | None = None, seed: int = 0
) -> PredictedRun:
    """The loss of a run that is not trained yet, with its predictive interval and what it is made of.

    `covariates`: what the fit's own law needs besides N and D. `level`: that of the fit unless given.
    Raises `UserError` for a fit by approach 1 or 2, which has no surface.
    """
    level = level_of(fit, level)
    point = np.array([[float(N)], [float(D)]])
    flops = float(fit.cost(point[0])[0] * D)

    def extra(law: Law) -> tuple[np.ndarray, ...]:
        given = tuple(np.array([float(x)]) for x in covariates) if law.name == fit.law else ()
        return law.fill(point[0], point[1], np.array([flops]), given)

    losses = RunDraws(fit, point[0], point[1], np.array([flops]), extra, np.random.default_rng(seed))
    loss, interval = float(losses.predicted_R[0]), losses.intervals(level)[0]
    return PredictedRun(float(N), float(D), flops, loss, interval, level, losses.parts(level)[0])


class RunDraws:
    """Draws of the losses of R runs, `losses_SxR`, and what the fitted law predicts, `predicted_R`."""

    def __init__(
        self,
        fit: LawFit,
        N_R: np.ndarray,
        D_R: np.ndarray,
        C_R: np.ndarray,
        extra: Extra,
        rng: np.random.Generator,
    ) -> None:
        forms = _forms(fit)
        counts = _counts(len(forms))
        inputs = [(N_R, D_R, *extra(form.law)) for form in forms]
        with np.errstate(all="ignore"):  # a draw may lie far out: what is not finite does not count
            self.points_LxR = np.stack(
                [evaluate(f.law, f.params_P, *x) for f, x in zip(forms, inputs, strict=True)]
            )
            parts = [_draws(f, x, n) for f, x, n in zip(forms, inputs, counts, strict=True)]
        self.own_SxR = parts[0]
        spread_S = np.repeat([form.spread for form in forms], counts)
        self.noise_SxR = run_noise_draws(fit, C_R, spread_S, rng)
        self.losses_SxR = np.concatenate(parts) * np.exp(self.noise_SxR)
        self.predicted_R = self.points_LxR[0]

    def intervals(self, level: float) -> list[Interval]:
        """Of each run, stretched to what the fitted law predicts."""
        columns = zip(self.predicted_R, self.losses_SxR.T, strict=True)
        return [span_with(float(at), draws_S, level) for at, draws_S in columns]

    def parts(self, level: float) -> list[Parts]:
        """Of each run's interval."""
        many, own = len(self.points_LxR) > 1, len(self.own_SxR)
        return [
            Parts(
                noise=_half(self.predicted_R[r] * np.exp(self.noise_SxR[:own, r]), level) or 0.0,
                fit=_half(self.own_SxR[:, r], level) if np.ptp(self.own_SxR[:, r]) else None,
                form=0.5 * float(np.ptp(self.points_LxR[:, r])) if many else None,
            )
            for r in range(len(self.predicted_R))
        ]


def predicted_minimum(
    fit: LawFit,
    flops: float,
    sizes: np.ndarray | None = None,
    seeds: int = 1,
    curve: str = "parabola",
    level: float | None = None,
    seed: int = 0,
) -> PredictedMinimum:
    """The minimum of an IsoFLOP that is not trained yet, as a curve through its runs will show it.

    `sizes`: parameters of its runs, by default `SIZES` times the fitted N_opt; each is trained under `seeds`
    seeds, and their mean taken. Raises `UserError` where the law has no optimum at this budget.
    """
    level = level_of(fit, level)
    rng = np.random.default_rng(seed)
    n_opt = float(fit.allocate(flops)[0])
    if not np.isfinite(n_opt):
        raise UserError(f"the fit has no interior optimum at {flops:.3g} FLOPs")
    N_K = np.sort(n_opt * SIZES if sizes is None else np.asarray(sizes, dtype=float))
    D_K = flops / fit.cost(N_K)
    smooth_K = fit.predict(N_K, D_K)
    shifts = measured_shifts(fit, flops, N_K, smooth_K, seeds, curve, rng)
    found = MinimumDraws(fit, flops, shifts)
    loss = float(fit.predict(n_opt, flops / fit.cost(n_opt)))
    return PredictedMinimum(
        flops=float(flops),
        n_opt=n_opt,
        n_interval=span_with(n_opt, found.n_S, level),
        loss_opt=loss,
        loss_interval=span_with(loss, found.loss_S, level),
        level=level,
        parts=found.parts(loss, level),
        sizes=tuple(map(float, N_K)),
        seeds=seeds,
    )


class MinimumDraws:
    """Draws of N_opt and of the least loss at one budget, `n_S` and `loss_S`.

    `shifts`: factors by which runs' noise moves them, each of shape S, as `measured_shifts` draws them; ones
    for the optimum itself, which no run measures. A law takes part if it has an optimum there, and puts that
    of the middle of the fitted budgets among the fitted sizes: elsewhere its shape in N is not what was seen.
    """

    def __init__(self, fit: LawFit, flops: float, shifts: tuple[np.ndarray, np.ndarray]) -> None:
        own, *rivals = _forms(fit)
        found = [_optima(form, flops, fit) for form in (own, *(f for f in rivals if _allocates(f, fit)))]
        found = [found[0], *(pair for pair in found[1:] if np.isfinite(pair[0][0]))]
        counts = _counts(len(found))
        self.points_L = np.array([loss[0] for _, loss in found])
        self.n_opt, self.loss_opt = float(found[0][0][0]), float(found[0][1][0])
        rest = [(n[1:], loss[1:]) if len(n) > 1 else (n, loss) for n, loss in found]
        n_S, loss_S = (
            np.concatenate([np.resize(pair[k], c) for pair, c in zip(rest, counts, strict=True)])
            for k in (0, 1)
        )
        self.own_B = rest[0][1]
        self.shift_S = shifts[1]
        self.n_S, self.loss_S = n_S * shifts[0], loss_S * shifts[1]

    def parts(self, loss: float, level: float) -> Parts:
        """Of the loss's interval."""
        return Parts(
            noise=_half(loss * self.shift_S, level) or 0.0,
            fit=_half(self.own_B, level) if len(self.own_B) > 1 else None,
            form=0.5 * float(np.ptp(self.points_L)) if len(self.points_L) > 1 else None,
        )


def measured_shifts(
    fit: LawFit,
    flops: float,
    N_K: np.ndarray,
    smooth_K: np.ndarray,
    seeds: int,
    curve: str,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Factors, S each, by which the noise of runs of N_K parameters moves the minimum of the curve through
    them, in N and in loss; `smooth_K`: their losses without noise. NaN where a draw's runs bracket none."""
    C_K = np.full(len(N_K) * seeds, float(flops))
    noise_SxKxI = run_noise_draws(fit, C_K, np.ones(DRAWS), rng).reshape(DRAWS, len(N_K), seeds)
    redrawn_SxK = smooth_K * np.exp(noise_SxKxI).mean(axis=2)
    found = CURVES[curve](N_K, np.concatenate([smooth_K[None], redrawn_SxK]))
    if not found.bracketed_B[0]:
        return np.ones(DRAWS), np.ones(DRAWS)
    with np.errstate(all="ignore"):
        return np.exp(found.x_B[1:] - found.x_B[0]), found.loss_B[1:] / found.loss_B[0]


def run_noise_draws(
    fit: LawFit, C_R: np.ndarray, spread_S: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draws of the noise of R runs' log loss, SxR: by the seeds' scale, or by the residuals' if it is larger.

    `C_R`: training FLOPs; `spread_S`: what the residuals' scale is multiplied by in each draw.
    """
    # The residuals hold the seeds' noise and what the law misses: where they are smaller, it is by chance or
    # because the noise grows beyond the fitted runs.
    S, R = len(spread_S), len(C_R)
    scale_SxR, freedom_SxR = np.zeros((S, R)), np.full((S, R), 100.0)
    if fit.residual_noise is not None:
        scale_S, freedom_S = _resampled(fit.residual_noise.draws, S, rng).T
        scale_SxR, freedom_SxR = ((x[:, None] + np.zeros((S, R))) for x in (scale_S * spread_S, freedom_S))
    elif fit.law is None and np.isfinite(fit.conventions.residual_log_sd):
        scale_SxR += fit.conventions.residual_log_sd
    if fit.noise is not None:
        scale_S, freedom_S, exponent_S = _resampled(fit.noise.draws, S, rng).T
        seeds_SxR = scale_S[:, None] * (C_R / fit.noise.centre_flops) ** exponent_S[:, None]
        larger_SxR = seeds_SxR * _sigma(freedom_S)[:, None] > scale_SxR * _sigma(freedom_SxR)
        scale_SxR = np.where(larger_SxR, seeds_SxR, scale_SxR)
        freedom_SxR = np.where(larger_SxR, freedom_S[:, None], freedom_SxR)
    return scale_SxR * rng.standard_t(freedom_SxR)


def level_of(fit: LawFit, level: float | None) -> float:
    """The level asked for, or the fit's. Raises `UserError` for a fit without a surface."""
    if fit.law is None:
        raise UserError(f"approach {fit.approach} fits no surface L(N, D): use --approach 3")
    return level or (fit.intervals.level if fit.intervals else 0.95)


def _sigma(freedom: np.ndarray) -> np.ndarray:
    """Half-width of Student's t that holds 68.3%, of unit scale."""
    known, where = np.unique(freedom, return_inverse=True)
    return stdtrit(known, SIGMA)[where].reshape(np.shape(freedom))


def _resampled(draws: tuple[tuple[float, ...], ...], S: int, rng: np.random.Generator) -> np.ndarray:
    """S of the draws, all of them about as often, in an order of its own."""
    return np.array(draws)[rng.permutation(S) % len(draws)]


def _forms(fit: LawFit) -> list[_Form]:
    """The fit's own law first."""
    own_sd = fit.conventions.residual_log_sd
    forms = [_Form(find_law(fit.law or ""), fit.params_P, fit.draws_BxP, 1.0)]
    for rival in fit.forms.rivals if fit.forms else ():
        spread = rival.residual_log_sd / own_sd if own_sd > 0 else 1.0
        params_P, draws_BxP = np.array(rival.params), np.array(rival.draws)
        forms.append(_Form(find_law(rival.law), params_P, draws_BxP, spread))
    return forms


def _counts(laws: int) -> np.ndarray:
    """How many of the draws are of each law."""
    return np.diff(np.linspace(0, DRAWS, laws + 1).round().astype(int))


def _draws(form: _Form, inputs: tuple[np.ndarray, ...], count: int) -> np.ndarray:
    """Losses at `count` draws of the parameters; at the best ones where there are none."""
    if not len(form.draws_BxP):
        return np.repeat(evaluate(form.law, form.params_P, *inputs)[None], count, axis=0)
    losses_BxR = evaluate(form.law, form.draws_BxP, *inputs)
    return losses_BxR[np.arange(count) % len(losses_BxR)]


def _allocates(form: _Form, fit: LawFit) -> bool:
    """Whether the law has its optimum among the fitted sizes, at the middle of the fitted budgets."""
    if fit.conventions.n_range is None:
        return True
    middle = np.array([np.sqrt(np.prod(fit.conventions.flops_range))])
    n = float(optimal_size(form.law, form.params_P, middle, fit.cost)[0])
    return fit.conventions.n_range[0] <= n <= fit.conventions.n_range[1]


def _optima(form: _Form, flops: float, fit: LawFit) -> tuple[np.ndarray, np.ndarray]:
    """N_opt and the loss there, of the best parameters (first) and of their draws."""
    params = np.vstack([form.params_P, form.draws_BxP]) if len(form.draws_BxP) else form.params_P[None]
    n_B = optimal_size(form.law, params, np.array([flops]), fit.cost)[:, 0]
    d_B = flops / fit.cost(n_B)
    inputs = (n_B, d_B, *form.law.fill(n_B, d_B, np.full(len(n_B), flops)))
    with np.errstate(all="ignore"):
        # Each draw at its own N_opt: the diagonal of a table over all of them.
        return n_B, np.diagonal(evaluate(form.law, params, *inputs)).copy()


def _half(draws: np.ndarray, level: float) -> float | None:
    low, high = span(draws, level)
    return None if low is None or high is None else 0.5 * (high - low)
