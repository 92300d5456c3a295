"""What further samples buy: pass@k with intervals, its law, its cause, and how far each extrapolates.

One table of attempts is one set of problems. Every interval comes from drawing the problems anew, each with
its samples: the points of a curve share their problems, so that what is resampled is the curve. The samples
need no second resampling, since a problem that is drawn anew brings the noise of its own samples along.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.analysis.result import Certificate
from isoflop.analysis.test_time.attempts import Attempts
from isoflop.analysis.test_time.back_test import FEWEST_SAMPLES, BackTest, Method, back_tests, reach
from isoflop.analysis.test_time.curve_law import CurveLaws, fit_curves
from isoflop.analysis.test_time.pass_at_k import counts_of_samples, pass_at_k, standard_error
from isoflop.analysis.test_time.success_tail import SuccessTail, fit_success_tail
from isoflop.analysis.uncertainty.intervals import Interval, span, span_with
from isoflop.base.display import Displayed, Summary, warning_lines
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief, interval
from isoflop.base.json_values import FloatOrNaN, Serializable

FEW_PROBLEMS = 20
"""Problems below which percentiles of resamples say little of other problems."""


@dataclass(frozen=True)
class PassAtK:
    """Mean pass@k over the problems, without a model."""

    k: int
    pass_rate: float
    interval: Interval
    """Over problems drawn anew, each with its samples."""
    standard_error: FloatOrNaN
    """Over samples drawn anew of these very problems; NaN at k = n."""


@dataclass(frozen=True)
class CoverageLaw:
    """coverage(k) = exp(-A k^-beta), fitted to the curve of pass@k."""

    A: float
    A_interval: Interval
    beta: float
    beta_interval: Interval
    certificate: Certificate


@dataclass(frozen=True)
class Tail:
    """The beta distribution of the problems' success rates, whose density falls as p^(alpha - 1) near 0."""

    alpha: float
    alpha_interval: Interval
    beta: float
    beta_interval: Interval
    certified: bool
    exponent: float
    """With which minus the log of the coverage falls over the last decade of k, by this distribution; alpha
    itself in the limit of large k."""
    exponent_interval: Interval
    curve_exponent: FloatOrNaN
    """The same of the curve of pass@k; NaN where all problems are solved at its end."""
    curve_exponent_interval: Interval
    agrees: bool
    """Whether the distribution's coverage at all samples is the measured one, but for resampling or for one
    problem."""


@dataclass(frozen=True)
class Extrapolated:
    """Coverage beyond the samples, by the law of the curve and by the tail of the success rates."""

    k: int
    law: float
    law_interval: Interval
    tail: float
    tail_interval: Interval
    law_tested: bool
    """Whether back-tests as far as this hold for the law; `tail_tested`: for the tail."""
    tail_tested: bool


@dataclass(frozen=True, repr=False)
class RepeatedSampling(Displayed, Serializable):
    """What a table of attempts says about coverage against the number of samples."""

    source: str
    problems: int
    samples: int
    """The fewest samples of a problem: the largest k without a model."""
    unsolved: int
    """Problems without a right sample."""
    level: float
    passes: tuple[PassAtK, ...]
    law: CoverageLaw | None
    tail: Tail | None
    back_tests: tuple[BackTest, ...]
    extrapolated: tuple[Extrapolated, ...]
    warnings: tuple[str, ...]

    def farthest(self, method: Method) -> int:
        """The largest k up to which no back-test refutes `law` or `tail`."""
        return self.samples * reach(tuple(t for t in self.back_tests if t.method == method), method)

    def summary(self) -> Summary:
        """pass@k, and what the law and the tail say."""
        rows = [(f"pass@{p.k}", brief(p.pass_rate), interval(p.interval)) for p in self.passes]
        notes = []
        if self.law:
            notes.append(f"exp(-A k^-beta): beta {brief(self.law.beta)} {interval(self.law.beta_interval)}")
        if self.tail:
            alpha = interval(self.tail.alpha_interval)
            notes.append(f"tail of success rates p^(alpha - 1): alpha {brief(self.tail.alpha)} {alpha}")
        title = f"RepeatedSampling: {self.problems} problems of {self.source}, {self.samples} samples each"
        return Summary(title, ("", "", f"{self.level:.0%}"), rows, [*notes, *warning_lines(self.warnings)])


def repeated_sampling(
    attempts: Attempts, k: tuple[int, ...] = (), *, level: float = 0.95, bootstrap: int = 1000, seed: int = 0
) -> RepeatedSampling:
    """pass@k, the law of its curve, the tail that makes it, back-tests, and coverage at further `k`.

    Raises `UserError` for a k below 1, and for one beyond the samples where nothing can be extrapolated: one
    problem, all solved, none solved, too few samples.
    """
    n = attempts.most_samples
    if k and min(k) < 1:
        raise UserError(f"--k {min(k)}: the number of samples must be at least 1")
    reason = _no_law(attempts)
    beyond = tuple(sorted({x for x in k if x > n}))
    if beyond and reason:
        raise UserError(
            f"--k {beyond[0]} is beyond the {n} samples of a problem, and nothing can be extrapolated: "
            f"{reason}"
        )
    weight_BxP = _weights(len(attempts), bootstrap, seed)
    passes = _passes(attempts, k, weight_BxP, level)
    law, tail, tests, extrapolated = None, None, (), ()
    if reason is None:
        k_K = counts_of_samples(n)
        curves_BxK = weight_BxP @ pass_at_k(attempts.n_P, attempts.c_P, k_K) / len(attempts)
        curve, rates = fit_curves(k_K, curves_BxK), fit_success_tail(attempts, weight_BxP)
        law, tail = _law(curve, level), _tail(attempts, weight_BxP, rates, level)
        tests = back_tests(attempts, level, seed)
        extrapolated = tuple(_beyond(x, n, curve, rates, tests, level) for x in beyond)
    return RepeatedSampling(
        source=attempts.source,
        problems=len(attempts),
        samples=n,
        unsolved=int((attempts.c_P == 0).sum()),
        level=level,
        passes=passes,
        law=law,
        tail=tail,
        back_tests=tests,
        extrapolated=extrapolated,
        warnings=_warnings(attempts, reason, law, tail, extrapolated),
    )


def _no_law(attempts: Attempts) -> str | None:
    """Why no law can be fitted; None where one can."""
    if len(attempts) == 1:
        return "there is one problem, and a curve of coverage is a mean over many"
    if not attempts.c_P.any():
        return "no sample of any problem is right"
    if np.all(attempts.c_P == attempts.n_P):
        return "every sample of every problem is right"
    if attempts.most_samples < FEWEST_SAMPLES:
        return f"a problem has {attempts.most_samples} samples, and a law takes {FEWEST_SAMPLES}"
    return None


def _weights(P: int, bootstrap: int, seed: int) -> np.ndarray:
    """How often each problem counts: once in the first row, in the others as it was drawn."""
    drawn = np.random.default_rng(seed).multinomial(P, np.full(P, 1 / P), size=bootstrap)
    return np.concatenate([np.ones((1, P)), drawn])


def _passes(
    attempts: Attempts, k: tuple[int, ...], weight_BxP: np.ndarray, level: float
) -> tuple[PassAtK, ...]:
    n = attempts.most_samples
    rounded = {m * 10**e for e in range(10) for m in (1, 2, 5)}
    k_K = np.array(sorted({n, *(x for x in (*rounded, *k) if x <= n)}))
    mean_BxK = weight_BxP @ pass_at_k(attempts.n_P, attempts.c_P, k_K) / len(attempts)
    error_K = standard_error(attempts, k_K)
    alone = len(attempts) == 1
    return tuple(
        PassAtK(
            k=int(x),
            pass_rate=float(mean_BxK[0, i]),
            interval=(None, None) if alone else span(mean_BxK[1:, i], level),
            standard_error=float(error_K[i]),
        )
        for i, x in enumerate(k_K)
    )


def _law(curve: CurveLaws, level: float) -> CoverageLaw:
    A_B, beta_B = curve.params_Bx2.T
    return CoverageLaw(
        A=float(A_B[0]),
        A_interval=span_with(float(A_B[0]), A_B[1:], level),
        beta=float(beta_B[0]),
        beta_interval=span_with(float(beta_B[0]), beta_B[1:], level),
        certificate=curve.certificate,
    )


def _tail(attempts: Attempts, weight_BxP: np.ndarray, rates: SuccessTail, level: float) -> Tail:
    """The tail, and whether it makes the curve's end."""
    n, P = attempts.most_samples, len(attempts)
    ends = np.array([max(n // 10, 1), n])
    measured_Bx2 = weight_BxP @ pass_at_k(attempts.n_P, attempts.c_P, ends) / P
    made_Bx2 = rates.coverage(ends)
    made_B, curve_B = (_exponent(ends, x_Bx2) for x_Bx2 in (made_Bx2, measured_Bx2))
    miss_B = made_Bx2[:, 1] - measured_Bx2[:, 1]
    low, high = span(miss_B[1:], level)
    inside = low is not None and high is not None and low <= 0.0 <= high
    alpha, beta, exponent = (float(x[0]) for x in (rates.alpha_B, rates.beta_B, made_B))
    return Tail(
        alpha=alpha,
        alpha_interval=span_with(alpha, rates.alpha_B[1:], level),
        beta=beta,
        beta_interval=span_with(beta, rates.beta_B[1:], level),
        certified=rates.certified,
        exponent=exponent,
        exponent_interval=span_with(exponent, made_B[1:], level),
        curve_exponent=float(curve_B[0]),
        curve_exponent_interval=span_with(float(curve_B[0]), curve_B[1:], level),
        agrees=bool(inside or abs(miss_B[0]) * P < 1.0),
    )


def _exponent(k_2: np.ndarray, coverage_Bx2: np.ndarray) -> np.ndarray:
    """beta of minus the log of the coverage ~ k^-beta between two k; NaN where the second covers all."""
    with np.errstate(divide="ignore", invalid="ignore"):
        left_Bx2 = -np.log(coverage_Bx2)
        found_B = np.log(left_Bx2[:, 0] / left_Bx2[:, 1]) / np.log(k_2[1] / k_2[0])
    return np.where(np.isfinite(found_B), found_B, np.nan)


def _beyond(
    k: int, n: int, curve: CurveLaws, rates: SuccessTail, tests: tuple[BackTest, ...], level: float
) -> Extrapolated:
    law_B, tail_B = (each.coverage(np.array([k]))[:, 0] for each in (curve, rates))
    return Extrapolated(
        k=k,
        law=float(law_B[0]),
        law_interval=span_with(float(law_B[0]), law_B[1:], level),
        tail=float(tail_B[0]),
        tail_interval=span_with(float(tail_B[0]), tail_B[1:], level),
        law_tested=k <= n * reach(tests, "law"),
        tail_tested=k <= n * reach(tests, "tail"),
    )


def _warnings(
    attempts: Attempts,
    reason: str | None,
    law: CoverageLaw | None,
    tail: Tail | None,
    extrapolated: tuple[Extrapolated, ...],
) -> tuple[str, ...]:
    found = []
    if reason:
        found.append(f"no law of the coverage: {reason}")
    elif len(attempts) < FEW_PROBLEMS:
        found.append(
            f"{len(attempts)} problems are few: their intervals say little of others; {FEW_PROBLEMS} at least"
        )
    if attempts.n_P.max() > attempts.n_P.min():
        found.append(
            f"problems have from {attempts.n_P.min():g} to {attempts.n_P.max():g} samples: pass@k goes as "
            "far as the fewest"
        )
    if law and law.certificate.status != "certified":
        found.append(f"the law's optimum is not certified: {law.certificate.why}")
    if tail and not tail.certified:
        found.append("the tail is at a bound: counts tell no difference between the problems, or too much")
    if tail and not tail.agrees:
        found.append(
            "the distribution of success rates does not make the curve's end: its tail is no power law down "
            "to zero (cut off, or of two kinds), and neither the law nor the tail extrapolates far"
        )
    for each in extrapolated:
        missing = [name for name, ok in (("law", each.law_tested), ("tail", each.tail_tested)) if not ok]
        if missing:
            found.append(
                f"pass@{each.k} is farther than back-tests go for the {' and the '.join(missing)}: "
                "more samples of fewer problems would show it"
            )
    return tuple(found)
