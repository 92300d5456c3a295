"""The fit of the learning-rate rule to the tuning runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from isoflop.base.errors import UserError
from isoflop.base.formatting import brief
from isoflop.sweeps.grids.rates import Rates

EXPONENT_SD = 0.25
"""Standard deviation of either exponent about the config's, before any run. Under mup the best rate is meant
to be one for all widths; over the horizon published exponents lie between .1 and .35 (DeepSeek 2024, Bjorck
et al. 2024). Noise at two widths a factor of three apart must not make a rule."""
LOG_CURVATURE = math.log(0.04), 1.0
"""Mean and standard deviation, before any run, of the logarithm of the curvature: the nats lost by a rate off
by a factor e."""
LEAST_RATE_SD = 0.5
"""The least standard deviation of the log coefficient before any run; else half the range tried."""
LEAST_NOISE = 0.003
"""Nats; noise of single runs below which a few alike trials are not believed."""
FIRST_NOISE = 0.01
NOISE_ROUNDS = 20


@dataclass(frozen=True)
class Trial:
    """A tuning run: its peak rate and its loss in nats, NaN where it diverged or failed. `tokens`: one of the
    horizons of its `Rates`."""

    width: int
    tokens: float
    lr: float
    loss: float


@dataclass(frozen=True)
class Anchor:
    """The fitted best rate of one width and horizon. `sd`: standard deviation of its logarithm; `at_edge`:
    whether it lies at or beyond the lowest or the highest rate tried."""

    d_model: int
    n_tokens: float
    lr: float
    sd: float
    at_edge: bool


@dataclass(frozen=True)
class TunedRates:
    """The fitted rule and how well it is known.

    `covariance`: of the log coefficient, the exponent and the token exponent. `curvature`: nats lost by a
    rate off by a factor e, squared in its log. `noise`: nats, standard deviation of a run about the fitted
    curves. A rule that was not tuned is taken as known.
    """

    rates: Rates
    covariance: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 0.0),) * 3
    curvature: float | None = None
    noise: float | None = None
    anchors: tuple[Anchor, ...] = ()
    warnings: tuple[str, ...] = ()

    def log_sd(self, width: int, tokens: float) -> float:
        """Standard deviation of the logarithm of the rule's rate at a width and horizon."""
        log_width, log_tokens = self.rates.log_ratios(width, tokens)
        gradient = np.array([1.0, -log_width, -log_tokens])
        return float(np.sqrt(gradient @ np.array(self.covariance) @ gradient))

    def expected_loss(self, width: int, tokens: float) -> float:
        """Nats that a run is expected to lose by the rule's uncertainty there: curvature * variance."""
        return (self.curvature or 0.0) * self.log_sd(width, tokens) ** 2


def tune(rates: Rates, trials: Sequence[Trial]) -> TunedRates:
    """Fit the rule to the tuning runs: one curve through all trials, not the best of several noisy ones.

    At a width w and horizon t the loss is level(w, t) + curvature * (log rate - log best(w, t))^2, with one
    curvature, and the best rate the rule's. All is fitted at once by least squares, the runs' errors under a
    soft-L1 loss, so that one far from its curve counts less, and with weak normal priors: `EXPONENT_SD`,
    `LOG_CURVATURE`, and that the best rate lies among those tried. Raises `UserError` where a width and
    horizon has no finished trial.
    """
    places = [(width, tokens) for width in rates.widths for tokens in rates.horizons]
    finished = [trial for trial in trials if math.isfinite(trial.loss)]
    for width, tokens in places:
        if not any((t.width, t.tokens) == (width, tokens) for t in finished):
            raise UserError(
                f"no learning rate tried at width {width} and {brief(tokens)} tokens gave a loss: tuning.csv "
                "says which diverged (lower rates.coefficient) and which failed"
            )
    noise, theta, covariance = _fit(_Curves.of(rates, places, finished))
    rule = Rates(
        _rounded(rates.coefficient * math.exp(theta[0])),
        _rounded(rates.exponent + theta[1]),
        _rounded(rates.token_exponent + theta[2]),
        rates.base_tokens,
    )
    tuned = TunedRates(rule, tuple(map(tuple, covariance[:3, :3].tolist())), math.exp(theta[3]), noise)
    anchors = tuple(_anchor(tuned, width, tokens, trials) for width, tokens in places)
    return replace(tuned, anchors=anchors, warnings=_edge_warnings(rates, anchors))


@dataclass(frozen=True)
class _Curves:
    """The regression of trials' losses. Parameters theta: log of the coefficient over the config's, the two
    exponents less the config's, the log curvature, and a level for each place. Axis R: trials."""

    log_width_R: NDArray[np.float64]
    log_tokens_R: NDArray[np.float64]
    """Of the ratios in `Rates.log_ratios`."""
    log_factor_R: NDArray[np.float64]
    """Of the rate over the config's rule."""
    loss_R: NDArray[np.float64]
    place_R: NDArray[np.int64]
    prior_mean_P: NDArray[np.float64]
    prior_sd_P: NDArray[np.float64]
    """Of the first four parameters; the levels have none."""

    @classmethod
    def of(cls, rates: Rates, places: Sequence[tuple[int, float]], trials: Sequence[Trial]) -> _Curves:
        number = {place: k for k, place in enumerate(places)}
        log_width_R, log_tokens_R = np.array([rates.log_ratios(t.width, t.tokens) for t in trials]).T
        low, high = math.log(min(rates.tried)), math.log(max(rates.tried))
        return cls(
            log_width_R,
            log_tokens_R,
            np.array([math.log(t.lr / rates.at(t.width, t.tokens)) for t in trials]),
            np.array([t.loss for t in trials]),
            np.array([number[t.width, t.tokens] for t in trials]),
            np.array([(low + high) / 2, 0.0, 0.0, LOG_CURVATURE[0]]),
            np.array([max((high - low) / 2, LEAST_RATE_SD), EXPONENT_SD, EXPONENT_SD, LOG_CURVATURE[1]]),
        )

    def start(self) -> NDArray[np.float64]:
        """Theta at the priors' means, each place's level at its least loss."""
        levels = [self.loss_R[self.place_R == place].min() for place in range(self.place_R.max() + 1)]
        return np.array([*self.prior_mean_P, *levels])

    def misses(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logs of the rates over the best."""
        return self.log_factor_R - theta[0] + theta[1] * self.log_width_R + theta[2] * self.log_tokens_R

    def errors(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Losses less their curves, nats."""
        return self.loss_R - theta[4 + self.place_R] - np.exp(theta[3]) * self.misses(theta) ** 2

    def residuals(self, theta: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
        """Errors, and distances from the priors' means, in their standard deviations."""
        return np.concatenate([self.errors(theta) / noise, (theta[:4] - self.prior_mean_P) / self.prior_sd_P])

    def jacobian(self, theta: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
        """Of the residuals, by theta."""
        runs, curvature, miss_R = len(self.loss_R), np.exp(theta[3]), self.misses(theta)
        slope_R = -2 * curvature * miss_R
        jacobian = np.zeros((runs + 4, len(theta)))
        jacobian[:runs, :4] = np.stack(
            [-slope_R, slope_R * self.log_width_R, slope_R * self.log_tokens_R, -curvature * miss_R**2],
            axis=1,
        )
        jacobian[np.arange(runs), 4 + self.place_R] = -1.0
        jacobian[:runs] /= noise
        jacobian[runs + np.arange(4), np.arange(4)] = 1 / self.prior_sd_P
        return jacobian

    def soft_errors(self, squares: NDArray[np.float64]) -> NDArray[np.float64]:
        """The loss of squared residuals and its two derivatives: soft L1 of errors, the priors' as it is."""
        runs, z = len(self.loss_R), squares
        loss = np.stack([z, np.ones_like(z), np.zeros_like(z)])
        root = np.sqrt(1 + z[:runs])
        loss[:, :runs] = 2 * (root - 1), 1 / root, -0.5 / root**3
        return loss


def _fit(curves: _Curves) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """The noise of a run (nats) and theta, each from the other until they agree; and theta's covariance."""
    noise, theta = FIRST_NOISE, curves.start()
    found: Any = None
    freedom = max(len(curves.loss_R) - len(theta), 1)
    for _ in range(NOISE_ROUNDS):
        functions: dict[str, Any] = {"jac": curves.jacobian, "loss": curves.soft_errors}  # stubs: names alone
        found = least_squares(curves.residuals, theta, args=(noise,), **functions)
        before, theta = noise, found.x
        # The median of absolute errors: a single bad run makes no noise of its own.
        spread = 1.4826 * float(np.median(np.abs(curves.errors(theta))))
        noise = max(spread * math.sqrt(len(curves.loss_R) / freedom), LEAST_NOISE)
        if abs(noise - before) < 1e-3 * noise:
            break
    # J^T J of the scaled Jacobian is the Hessian of the loss, up to the curves' own bend.
    return noise, theta, np.linalg.inv(found.jac.T @ found.jac)


def _anchor(tuned: TunedRates, width: int, tokens: float, trials: Sequence[Trial]) -> Anchor:
    lr = tuned.rates.at(width, tokens)
    tried = [t.lr for t in trials if (t.width, t.tokens) == (width, tokens)]
    return Anchor(width, tokens, lr, tuned.log_sd(width, tokens), not min(tried) < lr < max(tried))


def _edge_warnings(rates: Rates, anchors: Sequence[Anchor]) -> tuple[str, ...]:
    middle = math.sqrt(min(rates.tried) * max(rates.tried))
    return tuple(
        f"the best learning rate at width {a.d_model} and {brief(a.n_tokens)} tokens is at or beyond the "
        f"{'highest' if a.lr > middle * rates.at(a.d_model, a.n_tokens) else 'lowest'} tried ({a.lr:.3g}): "
        "widen rates.tried"
        for a in anchors
        if a.at_edge
    )


def _rounded(x: float) -> float:
    """Four digits: the rule must not hang on the last bit of a logarithm."""
    return float(f"{x:.4g}") + 0.0
