"""Test-time against train-time compute at equal quality: how much training so many samples replace.

The samples' side is the law of repeated sampling: a model that solves a share p of problems at once solves
p^(k^-beta) of them with k samples and a perfect verifier. The training's side is a two-step law. Jones (2021)
measured the exchange itself on Hex: see the law `jones`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.analysis.downstream.two_step import TwoStep, first_budget
from isoflop.analysis.laws import find_law
from isoflop.analysis.uncertainty.intervals import Interval, span_with
from isoflop.base.display import Displayed, Summary
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief, interval
from isoflop.base.json_values import FloatOrNaN, Serializable

JONES = find_law("jones").published[0].params[0]
"""Powers of ten of test-time compute that one of training is worth, at equal Elo."""


@dataclass(frozen=True, repr=False)
class Exchange(Displayed, Serializable):
    """A small model with many samples against a larger one with a single sample, of equal quality."""

    samples: int
    pass_rate: float
    """Of the small model with all its samples, and of the larger with one."""
    single_pass_rate: float
    """Of the small model with one sample."""
    flops: float
    """Training FLOPs of the small model."""
    training_flops: FloatOrNaN
    """Of the larger one; NaN where no training by this law reaches the quality."""
    training_interval: Interval | None
    training_multiple: FloatOrNaN
    query_flops: float
    """Of a query answered by the small model with all its samples; `larger_query_flops`: by the larger."""
    larger_query_flops: FloatOrNaN
    queries: FloatOrNaN
    """Number of queries up to which the small model is cheaper over training and use; infinite where it is
    for any number, NaN without a larger model."""
    queries_interval: Interval | None
    jones_multiple: float
    """The training that so many samples would replace at Jones's exchange, for comparison."""

    def summary(self) -> Summary:
        """Both sides."""
        rows = [
            ("samples", str(self.samples), ""),
            ("pass rate", f"{brief(self.single_pass_rate)} -> {brief(self.pass_rate)}", ""),
            ("training FLOPs for it", brief(self.training_flops), interval(self.training_interval)),
            ("times the training", brief(self.training_multiple), f"{brief(self.jones_multiple)} by Jones"),
            ("cheaper up to queries", _count(self.queries), interval(self.queries_interval, _count)),
        ]
        return Summary(
            f"samples in place of training, for a model of {brief(self.flops)} FLOPs:",
            ("", "value", ""),
            rows,
        )


def _count(queries: float) -> str:
    return "any number" if np.isinf(queries) else brief(queries)


def exchange(law: TwoStep, flops: float, samples: int, *, beta: float, tokens_per_sample: float) -> Exchange:
    """How much training `samples` samples a query replace, and up to how many queries they are cheaper.

    Args:
        law: what training buys; its score is a pass rate, an accuracy, or an error.
        flops: training FLOPs of the small model, compute-optimal.
        samples: samples of each query, of which a perfect verifier finds a right one.
        beta: the exponent of the small model's coverage (`repeated_sampling(...).law.beta`), taken to be
            that of no other training.
        tokens_per_sample: prompt and answer, each at 2 N FLOPs a token.

    Raises `UserError` for numbers that are not positive.
    """
    _check(flops=flops, samples=samples, beta=beta, tokens_per_sample=tokens_per_sample)
    C_K = np.concatenate([[flops], law.budgets()])
    solved_BxK = _pass_rates(law, C_K)
    single_B, curve_BxK = solved_BxK[:, 0], solved_BxK[:, 1:]
    wanted_B = np.clip(single_B, 1e-12, 1.0) ** (samples**-beta)
    larger_B = np.array([first_budget(C_K[1:], x_K, p) for x_K, p in zip(curve_BxK, wanted_B, strict=True)])
    # One sample of the small model is its own equal.
    larger_B = np.maximum(larger_B, flops) if samples > 1 else np.full_like(larger_B, flops)
    query = 2.0 * float(law.loss.allocate(flops)[0]) * tokens_per_sample * samples
    query_B = 2.0 * _sizes(law, larger_B) * tokens_per_sample
    queries_B = _crossover(flops, query, larger_B, query_B)
    return Exchange(
        samples=samples,
        pass_rate=float(wanted_B[0]),
        single_pass_rate=float(single_B[0]),
        flops=float(flops),
        training_flops=float(larger_B[0]),
        training_interval=_span(law, larger_B),
        training_multiple=float(larger_B[0] / flops),
        query_flops=query,
        larger_query_flops=float(query_B[0]),
        queries=float(queries_B[0]),
        queries_interval=_span(law, queries_B),
        jones_multiple=float(samples ** (1.0 / JONES)),
    )


def _check(**positive: float) -> None:
    for name, value in positive.items():
        if not (np.isfinite(value) and value > 0):
            raise UserError(f"{name} {value:g}: must be a positive number")


def _pass_rates(law: TwoStep, C_K: np.ndarray) -> np.ndarray:
    """The share solved at K budgets, (1 + draws)xK."""
    scores = law.scores(C_K)
    return 1.0 - scores if law.target == "error" else scores


def _sizes(law: TwoStep, C_B: np.ndarray) -> np.ndarray:
    """N of the compute-optimal model of each budget, by the fit; NaN where there is none."""
    N_B = np.full(len(C_B), np.nan)
    some = np.isfinite(C_B)
    N_B[some] = law.loss.allocate(C_B[some])[0] if some.any() else np.nan
    return N_B


def _crossover(flops: float, query: float, larger_B: np.ndarray, query_B: np.ndarray) -> np.ndarray:
    """Queries at which C + Q q = C' + Q q'; infinite where the small model's query is no dearer."""
    dearer_B = query - query_B
    with np.errstate(divide="ignore", invalid="ignore"):
        found_B = (larger_B - flops) / dearer_B
    return np.where(np.isnan(larger_B), np.nan, np.where(dearer_B > 0, found_B, np.inf))


def _span(law: TwoStep, values_B: np.ndarray) -> Interval | None:
    return None if law.level is None else span_with(float(values_B[0]), values_B[1:], law.level)
