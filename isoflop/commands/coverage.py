"""isoflop coverage"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from pydantic import Field

from isoflop import analysis
from isoflop.arguments import Flag, JsonFlag, parse
from isoflop.base.display import Summary
from isoflop.base.errors import UserError
from isoflop.base.fields import check_fields
from isoflop.base.formatting import brief, interval
from isoflop.commands.jax_setup import set_up_jax
from isoflop.printing import print_result

if TYPE_CHECKING:
    from isoflop.analysis import Attempts, RepeatedSampling
    from isoflop.analysis.test_time.difficulty import SampleAllocation
    from isoflop.analysis.test_time.spending import Signal, Spending

MOST_ROWS = 40
"""Of a table on a terminal."""
MOST_REALLOCATIONS = 200
"""Resamples for the ways to spend a budget, each of which is split anew."""


@dataclass(frozen=True)
class Coverage:
    """Repeated sampling: the share of problems that one of k samples solves, its law in k, the distribution
    of success rates that makes the law, and how far in k each goes unrefuted."""

    attempts: tyro.conf.Positional[str]
    """A table with the columns problem, n (samples) and c (right ones), or a row a sample with problem and
    correct."""
    k: tuple[float, ...] = ()
    """Also coverage at these numbers of samples; beyond the samples there are, by the law and by the tail."""
    budget: float | None = None
    """Also the best split of this mean number of samples a problem over five bins of difficulty (Snell et al.
    2024), and other ways to spend it."""
    difficulty: tuple[str, ...] = ()
    """With --budget, also bins by these columns, the higher the easier, beside known difficulty. A column
    that begins with first_ was computed from the first samples of a problem, as many as the column first
    says: they are counted, and are attempts too, of which first_right were right."""
    columns: str | None = None
    """Rename columns: new=old,..."""
    where: str | None = None
    """Only rows of these values: column=value,... (or !=, <, <=, >, >=)"""
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Coverage the intervals aim at."""
    bootstrap: Annotated[int, Field(ge=20)] = 1000
    """Resamples of the problems, for the intervals."""
    seed: Annotated[int, Field(ge=0)] = 0
    """The seed of the resampling."""
    markdown: Flag = False
    """Print tables in Markdown, to paste into a paper or an issue."""
    as_json: JsonFlag = False

    def __post_init__(self) -> None:
        """Raises `UserError` for a value that its field does not take."""
        check_fields(self)


def run(argv: list[str]) -> int:
    """Prints pass@k, the law, the tail, the back-tests and what lies beyond."""
    asked = parse(Coverage, argv, "coverage")
    if odd := next((k for k in asked.k if k != round(k)), None):
        raise UserError(f"--k {odd:g}: the number of samples must be whole")
    if asked.difficulty and asked.budget is None:
        raise UserError("--difficulty says by what a budget is split: give --budget too")
    attempts = analysis.load_attempts(asked.attempts, columns=asked.columns, where=asked.where)
    signals = [_signal(name, asked) for name in asked.difficulty]
    set_up_jax()
    found = analysis.repeated_sampling(
        attempts, tuple(map(int, asked.k)), level=asked.level, bootstrap=asked.bootstrap, seed=asked.seed
    )
    split = spending = None
    if asked.budget is not None:
        split = analysis.allocate_samples(
            analysis.bins_by_difficulty(attempts, seed=asked.seed), asked.budget
        )
        spending = _spending(attempts, asked.budget, signals, asked)
    answer = _Answer(found, split, spending)
    lines = [
        table.markdown() + "\n" if asked.markdown else table.text(MOST_ROWS) + "\n"
        for table in _tables(answer)
    ]
    print_result(answer, asked.as_json, lines, soft_wrap=True)
    return 0


@dataclass(frozen=True)
class _Answer:
    """What was found, the best split of a budget of samples, and the ways to spend it."""

    found: RepeatedSampling
    split: SampleAllocation | None
    spending: Spending | None

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.found.warnings

    def to_json(self) -> dict[str, Any]:
        """The finding's object; the split under `allocation`, the ways under `spending`."""
        return self.found.to_json() | {
            "allocation": None if self.split is None else self.split.to_json(),
            "spending": None if self.spending is None else self.spending.to_json(),
        }


def _spending(attempts: Attempts, budget: float, signals: list[Signal], asked: Coverage) -> Spending | None:
    """What each way reaches; None for a table too small to be judged by problems that did not choose."""
    from isoflop.analysis.test_time.spending import BINS, FEWEST_IN_A_BIN, FEWEST_SAMPLES

    enough = attempts.most_samples >= FEWEST_SAMPLES and len(attempts) >= BINS * FEWEST_IN_A_BIN
    if not (enough or signals):
        return None
    return analysis.spend(
        analysis.ways_with_a_checker(attempts, signals, seed=asked.seed),
        budget,
        level=asked.level,
        bootstrap=min(asked.bootstrap, MOST_REALLOCATIONS),
        seed=asked.seed,
    )


def _signal(name: str, asked: Coverage) -> Signal:
    """The column of that name, and what of the samples it took."""
    table = {"columns": asked.columns, "where": asked.where}
    value_P = analysis.load_column(asked.attempts, name, **table)
    if not name.startswith("first_"):
        return analysis.Signal(name, value_P)
    first_P, right_P = (analysis.load_column(asked.attempts, x, **table) for x in ("first", "first_right"))
    if first_P.min() < first_P.max():
        raise UserError(f"{asked.attempts}: the column first has several values; choose one with --where")
    return analysis.Signal(name, value_P, int(first_P[0]), right_P)


def _tables(answer: _Answer) -> Iterator[Summary]:
    found = answer.found
    level = f"{found.level:.0%}, other problems"
    yield Summary(
        f"{found.problems} problems of {found.source}, {found.samples} samples each ({found.unsolved} "
        "unsolved)",
        ("k", "pass@k", level, "s.e., these problems"),
        [(str(p.k), brief(p.pass_rate), interval(p.interval), brief(p.standard_error)) for p in found.passes],
    )
    if found.law and found.tail:
        yield Summary("what makes the curve", ("", "value", f"{found.level:.0%}", ""), [*_parameters(found)])
    if found.back_tests:
        yield _back_tests(found)
    if found.extrapolated:
        rows = [
            (str(x.k), name, brief(value), interval(span), "yes" if tested else "no")
            for x in found.extrapolated
            for name, value, span, tested in (
                ("law", x.law, x.law_interval, x.law_tested),
                ("tail", x.tail, x.tail_interval, x.tail_tested),
            )
        ]
        headers = ("k", "by", "coverage", f"{found.level:.0%}", "within back-tests")
        yield Summary("beyond the samples", headers, rows)
    if answer.split:
        yield answer.split.summary()
    if answer.spending:
        yield answer.spending.summary()


def _parameters(found: RepeatedSampling) -> Iterator[tuple[str, str, str, str]]:
    law, tail = found.law, found.tail
    assert law is not None
    assert tail is not None
    fitted = law.certificate.status.replace("_", " ")
    yield "A", brief(law.A), interval(law.A_interval), f"coverage = exp(-A k^-beta), {fitted}"
    yield "beta", brief(law.beta), interval(law.beta_interval), ""
    likeliest = "certified" if tail.certified else "not certified"
    density = f"success rates: beta distribution, density p^(alpha - 1) near 0, {likeliest}"
    yield "alpha", brief(tail.alpha), interval(tail.alpha_interval), density
    last = "exponent over the last decade of k"
    curve = tail.curve_exponent
    yield last, brief(curve), interval(tail.curve_exponent_interval), "of the curve"
    agreed = "of the tail" + ("" if tail.agrees else ": disagrees with the curve")
    yield last, brief(tail.exponent), interval(tail.exponent_interval), agreed


def _back_tests(found: RepeatedSampling) -> Summary:
    rows = [
        (
            f"{test.k // test.factor} samples", test.method, brief(test.predicted), brief(test.measured),
            interval(test.difference_interval, "{:+.3f}".format), "yes" if test.holds else "no",
        )
        for test in found.back_tests
    ]  # fmt: skip
    ends = ", ".join(f"{found.farthest(method)} by the {method}" for method in ("law", "tail"))
    return Summary(
        f"what fewer samples predict of pass@{found.samples}; unrefuted up to k = {ends}",
        ("from", "by", "predicted", "measured", f"difference, {found.level:.0%}", "holds"),
        rows,
    )
