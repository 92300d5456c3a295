"""Ways to spend a budget of samples, judged on problems that did not choose them, and what each is worth.

A way has options (at most k samples, say), each with a cost and a pass rate on every problem. Options are
chosen by bin of difficulty on one half of the problems, and judged on the other, as Snell et al. (2024, arXiv
2408.03314, section 3.2) do. With the option of stopping at the first right sample, cost differs by problem.

Shape suffixes: O options, P problems, K numbers of samples, B resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from isoflop.analysis.test_time.attempts import Attempts
from isoflop.analysis.test_time.difficulty import (
    NOTHING,
    DifficultyBin,
    SamplingOption,
    allocate_samples,
    upper_envelope,
)
from isoflop.analysis.test_time.pass_at_k import counts_of_samples, pass_at_k
from isoflop.analysis.uncertainty.intervals import Interval, span_with
from isoflop.base.display import Displayed, Summary
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief, interval
from isoflop.base.json_values import FloatOrNaN, Serializable

A_DECADE = 12
"""Numbers of samples in a factor of ten, among which is chosen."""
BINS, FOLDS = 5, 2
FEWEST_SAMPLES = 4
FEWEST_IN_A_BIN = 4


@dataclass(frozen=True)
class Way:
    """Options, and the problems' difficulty by which they are chosen: None for one choice for all."""

    name: str
    cost_OxP: np.ndarray
    """Mean samples, or any other unit of cost."""
    rate_OxP: np.ndarray
    difficulty_P: np.ndarray | None = None
    """The higher the easier."""
    price: float = 0.0
    """What knowing the difficulty costs on every problem, besides."""


@dataclass(frozen=True)
class Spent:
    """What a way reaches at a budget. Intervals: over problems drawn anew."""

    way: str
    cost: FloatOrNaN
    """Mean of a problem; below the budget where more buys nothing; NaN where the price leaves nothing."""
    pass_rate: FloatOrNaN
    interval: Interval
    gain: FloatOrNaN
    """Pass rate above that of one choice for all at the same budget."""
    gain_interval: Interval
    worth: FloatOrNaN
    """The cost at which one choice for all reaches the same, as a multiple of the way's own; NaN where it
    never does."""
    worth_interval: Interval
    """An end is None where one choice for all never does."""


@dataclass(frozen=True, repr=False)
class Spending(Displayed, Serializable):
    """Ways to spend one budget; the first is one choice for all."""

    budget: float
    bins: int
    level: float
    ways: tuple[Spent, ...]

    def summary(self) -> Summary:
        """What each way reaches."""
        rows = [
            (each.way, "the price leaves nothing", "", "", "")
            if np.isnan(each.cost)
            else (
                each.way, brief(each.cost), f"{brief(each.pass_rate)} {interval(each.interval)}",
                f"{each.gain:+.3f} {interval(each.gain_interval, '{:+.3f}'.format)}",
                f"{brief(each.worth) if np.isfinite(each.worth) else 'beyond'} "
                f"{interval(each.worth_interval)}",
            )
            for each in self.ways
        ]  # fmt: skip
        title = f"ways to spend {brief(self.budget)} samples a problem; choices by {self.bins} bins are "
        title += "judged on problems that did not make them"
        return Summary(title, ("way", "spent", "pass rate", "gain", "worth, times as many"), rows)


@dataclass(frozen=True)
class Signal:
    """A measure of difficulty, P problems. `samples`: how many first samples of a problem it was computed
    from, which count; `right_P`: how many of them were right."""

    name: str
    value_P: np.ndarray
    samples: int = 0
    right_P: np.ndarray | None = None


def ways_with_a_checker(attempts: Attempts, signals: Sequence[Signal] = (), *, seed: int = 0) -> list[Way]:
    """Ways to spend samples where each can be checked without error.

    One number for all; numbers by bins of known difficulty, which one half of the samples ranks and at no
    price; by bins of each signal, whose samples are attempts too; two rounds, the second for what the first
    left unsolved; until the first right one with one cap for all, and with caps by known bins. All are
    judged by the same half of the samples.

    Raises `UserError` for problems with fewer than four samples.
    """
    if attempts.most_samples < FEWEST_SAMPLES:
        raise UserError(
            f"{attempts.source}: a problem has {attempts.most_samples} samples: take four or more"
        )
    rng = np.random.default_rng(seed)
    ranking = attempts.thinned(0.5, rng)
    n_P, c_P = attempts.n_P - ranking.n_P, attempts.c_P - ranking.c_P
    # Equal rates in any order.
    known_P = ranking.c_P / ranking.n_P + 1e-9 * rng.random(len(attempts))
    most = int(n_P.min())
    k_K = counts_of_samples(most, A_DECADE)
    solved_KxP = np.vstack([np.zeros(len(attempts)), pass_at_k(n_P, c_P, np.arange(1, most + 1)).T])
    until_KxP = np.vstack([np.zeros(len(attempts)), np.cumsum(1.0 - solved_KxP[:-1], axis=0)])
    """Mean samples until the first right one, at most k."""
    flat_KxP = np.broadcast_to(k_K[:, None].astype(float), (len(k_K), len(attempts)))
    same = Way("the same for all", flat_KxP, solved_KxP[k_K])
    until = Way("until the first right one", until_KxP[k_K], solved_KxP[k_K])
    return [
        same,
        replace(same, name="by known bins, at no price", difficulty_P=known_P),
        *(_by_signal(each, solved_KxP, k_K) for each in signals),
        _two_rounds(solved_KxP, k_K),
        until,
        replace(until, name="until then, by known bins", difficulty_P=known_P),
    ]


def _by_signal(signal: Signal, solved_KxP: np.ndarray, k_K: np.ndarray) -> Way:
    """Numbers of samples by a signal: what it was computed from is spent on every problem."""
    further_K = np.concatenate([[0], k_K])
    unsolved_P = np.ones(solved_KxP.shape[1]) if signal.right_P is None else signal.right_P == 0
    rate_KxP = 1.0 - unsolved_P * (1.0 - solved_KxP[further_K])
    cost_KxP = np.broadcast_to(further_K[:, None].astype(float), rate_KxP.shape)
    return Way(f"by bins of {signal.name}", cost_KxP, rate_KxP, signal.value_P, float(signal.samples))


def _two_rounds(solved_KxP: np.ndarray, k_K: np.ndarray) -> Way:
    pairs = [(m, k) for m in k_K for k in k_K if k >= m]
    cost_OxP = np.stack([m + (1.0 - solved_KxP[m]) * (k - m) for m, k in pairs])
    return Way("in two rounds", cost_OxP, np.stack([solved_KxP[k] for _, k in pairs]))


def spend(
    ways: Sequence[Way],
    budget: float,
    *,
    bins: int = BINS,
    level: float = 0.95,
    bootstrap: int = 200,
    seed: int = 0,
) -> Spending:
    """What each way reaches at `budget` mean samples a problem; the first is what others are compared with.

    Raises `UserError` for fewer than four problems a bin, of which a half chooses and a half judges.
    """
    P = ways[0].rate_OxP.shape[1]
    if not 1 <= bins <= P // FEWEST_IN_A_BIN:
        raise UserError(f"{bins} bins of {P} problems: take four problems a bin at least")
    rng = np.random.default_rng(seed)
    fold_P = rng.permutation(P) % FOLDS
    drawn_BxP = np.vstack([np.arange(P), rng.integers(0, P, (bootstrap, P))])
    # A problem drawn twice stays in one fold: else it would judge its own choice.
    found_BxWx3 = np.array([_resample(ways, budget, bins, drawn_P, fold_P) for drawn_P in drawn_BxP])
    gain_BxW = found_BxWx3[..., 1] - found_BxWx3[:, :1, 1]
    ways_spent = []
    for w, way in enumerate(ways):
        cost, rate, worth = (float(x) for x in found_BxWx3[0, w])
        ways_spent.append(
            Spent(
                way=way.name,
                cost=cost,
                pass_rate=rate,
                interval=span_with(rate, found_BxWx3[1:, w, 1], level),
                gain=float(gain_BxW[0, w]),
                gain_interval=span_with(float(gain_BxW[0, w]), gain_BxW[1:, w], level),
                worth=worth,
                worth_interval=_open_span(found_BxWx3[1:, w, 2], level),
            )
        )
    return Spending(budget, bins, level, tuple(ways_spent))


def _resample(
    ways: Sequence[Way], budget: float, bins: int, drawn_P: np.ndarray, fold_P: np.ndarray
) -> list[tuple[float, float, float]]:
    """Cost, pass rate and worth of each way on the problems drawn."""
    folds = [drawn_P[fold_P[drawn_P] == fold] for fold in range(FOLDS)]
    first = ways[0]
    cost_O, rate_O = (x[:, drawn_P].mean(axis=1).tolist() for x in (first.cost_OxP, first.rate_OxP))
    corners = upper_envelope([SamplingOption("", *each) for each in zip(cost_O, rate_O, strict=True)])
    cost_C, rate_C = (
        np.array([getattr(each, name) for each in corners]) for name in ("samples", "pass_rate")
    )
    found = []
    for way in ways:
        halves = [_judged(way, budget, bins, a, b) for a, b in (folds, folds[::-1])]
        share = [len(folds[1]) / len(drawn_P), len(folds[0]) / len(drawn_P)]
        cost, rate = (float(np.dot(share, x)) for x in zip(*halves, strict=True))
        reached = rate <= rate_C[-1]
        worth = float(np.interp(rate, rate_C, cost_C)) / cost if reached and cost > 0 else np.nan
        found.append((cost, rate, worth))
    return found


def _judged(
    way: Way, budget: float, bins: int, chosen_on: np.ndarray, judged_on: np.ndarray
) -> tuple[float, float]:
    """Mean cost and pass rate on some problems (indices) of what is best on others; NaN where the price
    leaves nothing of the budget."""
    if budget <= way.price:
        return np.nan, np.nan
    names = [str(o) for o in range(len(way.rate_OxP))]
    found = allocate_samples(
        [
            DifficultyBin(str(b), weight, tuple(map(SamplingOption, names, cost_O, rate_O)))
            for b, (weight, cost_O, rate_O) in enumerate(_by_bin(way, bins, chosen_on))
        ],
        budget - way.price,
    )
    cost, rate = way.price, 0.0
    for allocation, (weight, cost_O, rate_O) in zip(found.bins, _by_bin(way, bins, judged_on), strict=True):
        for share in allocation.shares:
            if share.option.strategy != NOTHING.strategy:
                o = int(share.option.strategy)
                cost += share.share * weight * cost_O[o]
                rate += share.share * weight * rate_O[o]
    return cost, rate


def _by_bin(way: Way, bins: int, problems: np.ndarray) -> list[tuple[float, list[float], list[float]]]:
    """Each bin's share of some problems (indices), and the mean cost and rate of every option in it."""
    starts_M = np.zeros(1, dtype=int)
    if way.difficulty_P is not None:
        problems = problems[np.argsort(-way.difficulty_P[problems], kind="stable")]
        starts_M = np.cumsum([0, *(len(own) for own in np.array_split(problems, bins))])[:-1]
    size_M = np.diff([*starts_M, len(problems)])
    cost_MxO, rate_MxO = (
        (np.add.reduceat(x[:, problems], starts_M, axis=1) / size_M).T.tolist()
        for x in (way.cost_OxP, way.rate_OxP)
    )
    # A mean of ones may exceed one by rounding.
    rate_MxO = [[min(rate, 1.0) for rate in rate_O] for rate_O in rate_MxO]
    return list(zip((size_M / len(problems)).tolist(), cost_MxO, rate_MxO, strict=True))


def _open_span(worth_B: np.ndarray, level: float) -> Interval:
    """The central interval, NaN being beyond everything."""
    above_B = np.where(np.isnan(worth_B), np.inf, worth_B)
    ends = np.quantile(above_B, [(1 - level) / 2, (1 + level) / 2], method="nearest")
    low, high = (float(x) if np.isfinite(x) else None for x in ends)
    return low, high
