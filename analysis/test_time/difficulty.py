"""Where to spend samples: the best split of a budget of them over problems of different difficulty.

Snell et al. (2024), Scaling LLM Test-Time Compute Optimally Can Be More Effective than Scaling Model
Parameters, arXiv 2408.03314: for bins of difficulty the best strategy and number of samples differ, and
choosing by bin needs a fraction of the samples of one choice for all. A procedure, no law: it takes measured
pass rates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from isoflop.analysis.test_time.attempts import Attempts
from isoflop.analysis.test_time.pass_at_k import pass_at_k
from isoflop.base.display import Displayed, Summary
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief
from isoflop.base.json_values import Serializable


@dataclass(frozen=True)
class SamplingOption:
    """What a problem can be given: a strategy (best of n, revisions, search) with a number of samples."""

    strategy: str
    samples: float
    """Or any other unit of cost, the same for all."""
    pass_rate: float
    """Measured on the bin's problems, 0 to 1."""


LEAST_SHOWN = 0.005
"""Share of a bin below which an option is not shown."""
NOTHING = SamplingOption("none", 0.0, 0.0)


@dataclass(frozen=True)
class DifficultyBin:
    """Problems of about one difficulty, and what each option reaches on them."""

    name: str
    problems: float
    """How many, or what share of the queries."""
    options: tuple[SamplingOption, ...]

    def __post_init__(self) -> None:
        """Raises `UserError` for a bin without problems or options, and for rates and costs that are none."""
        if not self.problems > 0 or not self.options:
            raise UserError(
                f"bin {self.name}: it needs a positive number of problems, and at least one option"
            )
        for option in self.options:
            if not (option.samples >= 0 and 0 <= option.pass_rate <= 1):
                raise UserError(
                    f"bin {self.name}: {option.strategy} has pass rate {option.pass_rate:g} at "
                    f"{option.samples:g} samples: rates are from 0 to 1, samples at least 0"
                )


@dataclass(frozen=True)
class Share:
    """An option, and the share of a bin's problems that get it."""

    option: SamplingOption
    share: float


@dataclass(frozen=True)
class BinAllocation:
    """What a bin's problems get: one option, or two where the budget ends between them."""

    name: str
    shares: tuple[Share, ...]
    samples: float
    """Mean of a problem."""
    pass_rate: float


@dataclass(frozen=True, repr=False)
class SampleAllocation(Displayed, Serializable):
    """The best split of a budget of samples, beside one choice for all problems."""

    budget: float
    """Mean samples a problem."""
    bins: tuple[BinAllocation, ...]
    samples: float
    """Spent, a problem; below the budget where more samples buy nothing."""
    pass_rate: float
    marginal: float
    """What a further sample a problem would add to the pass rate."""
    uniform_pass_rate: float | None
    """The best single strategy and number of samples for all within the budget; None where the bins share
    no option."""
    uniform_samples: float | None
    """Fewest samples with which one option for all reaches the same pass rate; None where none does."""

    def summary(self) -> Summary:
        """What each bin gets."""
        rows = [
            (each.name, brief(each.samples), brief(each.pass_rate), _words(each.shares)) for each in self.bins
        ]
        notes = [f"pass rate {brief(self.pass_rate)} at {brief(self.samples)} samples a problem"]
        if self.uniform_pass_rate is not None:
            needed = "no number of samples" if self.uniform_samples is None else brief(self.uniform_samples)
            notes.append(
                f"one option for all: {brief(self.uniform_pass_rate)}; {needed} for the same pass rate"
            )
        return Summary(
            f"{brief(self.budget)} samples a problem, split by difficulty:",
            ("bin", "samples", "pass rate", "by"),
            rows,
            notes,
        )


def allocate_samples(bins: Sequence[DifficultyBin], budget: float) -> SampleAllocation:
    """The split of `budget` mean samples a problem over the bins with the highest mean pass rate.

    Exact: mixing options within a bin makes each bin's best pass rate a concave function of its samples, and
    then the steepest steps of all bins, in order, are the optimum of the linear program.

    Raises `UserError` without bins, and for a budget that is not positive.
    """
    if not bins:
        raise UserError("no bins: give at least one DifficultyBin")
    if not budget > 0:
        raise UserError(f"a budget of {budget:g} samples a problem: it must be a positive number")
    weight_B = np.array([each.problems for each in bins])
    weight_B = weight_B / weight_B.sum()
    hulls = [upper_envelope(each.options) for each in bins]
    steps = sorted(_steps(hulls), key=lambda step: (-step[0], step[1], step[2]))
    left, marginal = budget, 0.0
    reached = [(0, 0.0)] * len(bins)
    """Of each bin: the corner of its hull, and the share of the step beyond that is taken."""
    for slope, b, corner in steps:
        price = weight_B[b] * (hulls[b][corner + 1].samples - hulls[b][corner].samples)
        taken = min(1.0, left / price)
        reached[b] = (corner + 1, 0.0) if taken >= 1.0 else (corner, taken)
        left -= taken * price
        if taken < 1.0:
            marginal = slope
            break
    found = tuple(_bin(each.name, hull, *at) for each, hull, at in zip(bins, hulls, reached, strict=True))
    rate = float(weight_B @ [each.pass_rate for each in found])
    uniform, needed = _uniform(bins, weight_B, budget, rate)
    samples = float(weight_B @ [each.samples for each in found])
    return SampleAllocation(budget, found, samples, rate, marginal, uniform, needed)


def bins_by_difficulty(
    attempts: Attempts, bins: int = 5, *, strategy: str = "best of n", seed: int = 0
) -> tuple[DifficultyBin, ...]:
    """Equal bins of problems from the easiest to the hardest, with their pass@k.

    One half of each problem's samples ranks it, the other half gives the pass rates: ranked and judged by the
    same samples the easy would look easier than they are.

    Raises `UserError` for fewer problems than bins, or fewer than two samples of a problem.
    """
    if not 1 <= bins <= len(attempts) or attempts.most_samples < 2:
        raise UserError(
            f"{bins} bins of {len(attempts)} problems with {attempts.most_samples} samples each: bins hold a "
            "problem at least, and half of its samples rank it"
        )
    rng = np.random.default_rng(seed)
    ranking = attempts.thinned(0.5, rng)
    n_P, c_P = attempts.n_P - ranking.n_P, attempts.c_P - ranking.c_P
    # Equal rates in any order: ranked by their name they might be alike in more than difficulty.
    order = np.lexsort((rng.random(len(attempts)), -ranking.c_P / ranking.n_P))
    # Every number: one choice for all, within the budget, would be worse than it is if some were left out.
    k_K = np.arange(1, int(n_P.min()) + 1)
    curves_PxK = pass_at_k(n_P, c_P, k_K)
    return tuple(
        DifficultyBin(
            name=f"{b + 1} of {bins}",
            problems=float(len(rows)),
            options=tuple(
                SamplingOption(strategy, float(k), float(curves_PxK[rows, i].mean()))
                for i, k in enumerate(k_K)
            ),
        )
        for b, rows in enumerate(np.array_split(order, bins))
    )


def upper_envelope(options: Sequence[SamplingOption]) -> list[SamplingOption]:
    """Corners of the upper concave envelope of pass rate over samples, none included: what mixing reaches."""
    best: dict[float, SamplingOption] = {}
    for option in (NOTHING, *options):
        if option.samples not in best or option.pass_rate > best[option.samples].pass_rate:
            best[option.samples] = option
    corners: list[SamplingOption] = []
    for option in (best[samples] for samples in sorted(best)):
        if corners and option.pass_rate <= corners[-1].pass_rate:
            continue  # dearer, and no better
        while len(corners) > 1 and _slope(corners[-1], option) >= _slope(corners[-2], corners[-1]):
            corners.pop()
        corners.append(option)
    return corners


def _slope(a: SamplingOption, b: SamplingOption) -> float:
    return (b.pass_rate - a.pass_rate) / (b.samples - a.samples)


def _steps(hulls: Sequence[Sequence[SamplingOption]]) -> Iterator[tuple[float, int, int]]:
    """Pass rate a sample, bin and first corner of every step."""
    for b, hull in enumerate(hulls):
        for corner in range(len(hull) - 1):
            yield _slope(hull[corner], hull[corner + 1]), b, corner


def _bin(name: str, hull: Sequence[SamplingOption], corner: int, taken: float) -> BinAllocation:
    shares = [Share(hull[corner], 1.0 - taken)]
    if taken > 0:
        shares.append(Share(hull[corner + 1], taken))
    return BinAllocation(
        name=name,
        shares=tuple(shares),
        samples=float(sum(each.share * each.option.samples for each in shares)),
        pass_rate=float(sum(each.share * each.option.pass_rate for each in shares)),
    )


def _uniform(
    bins: Sequence[DifficultyBin], weight_B: np.ndarray, budget: float, rate: float
) -> tuple[float | None, float | None]:
    """The best pass rate of one option for all within the budget, and the samples it takes for `rate`."""
    tables = [{(o.strategy, o.samples): o.pass_rate for o in each.options} for each in bins]
    common = set.intersection(*(set(table) for table in tables))
    means = [
        (samples, float(weight_B @ [table[strategy, samples] for table in tables]))
        for strategy, samples in common
    ]
    within = [mean for samples, mean in means if samples <= budget]
    enough = [samples for samples, mean in means if mean >= rate - 1e-12]
    return max(within, default=0.0 if common else None), min(enough, default=None)


def _words(shares: Sequence[Share]) -> str:
    parts = [each for each in shares if each.share >= LEAST_SHOWN]
    names = [f"{each.option.strategy} {brief(each.option.samples)}" for each in parts]
    if len(parts) == 1:
        return names[0]
    return ", ".join(f"{name} ({each.share:.0%})" for name, each in zip(names, parts, strict=True))
