"""Ranks of the class: who cannot be told apart at the noise between seeds shares one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
"""Of the test that tells two students apart; no correction for how many are compared."""


@dataclass(frozen=True)
class Standing:
    """A student's place. `values`: by seed, what is ranked, in nats per token, the lower the better;
    `standard_error`: of their mean, by the noise of all students' seeds; None where no config has two."""

    rank: int
    values: tuple[float, ...]
    standard_error: float | None

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return float(np.mean(self.values))


def standings(values: Mapping[str, Sequence[float]]) -> dict[str, Standing]:
    """By student, the best first. Each has a value or more, one a seed.

    The seeds' variance is taken to be one for all, and pooled. A rank ends where a mean lies above that of
    its first student by more than Student's t allows at LEVEL, two-sided; the next rank counts all before it.
    """
    deviation, freedom = pooled_deviation(list(values.values()))
    ordered = sorted(values, key=lambda student: (float(np.mean(values[student])), student))
    found: dict[str, Standing] = {}
    first, rank = "", 0
    for place, student in enumerate(ordered, start=1):
        if not first or _apart(values[first], values[student], deviation, freedom):
            first, rank = student, place
        error = None if deviation is None else deviation / math.sqrt(len(values[student]))
        found[student] = Standing(rank, tuple(values[student]), error)
    return found


def pooled_deviation(values: Sequence[Sequence[float]]) -> tuple[float | None, int]:
    """The standard deviation between seeds and its degrees of freedom; None and 0 where no config has two."""
    freedom = sum(len(of_one) - 1 for of_one in values)
    if freedom == 0:
        return None, 0
    squares = sum(float(np.sum((np.asarray(of_one) - np.mean(of_one)) ** 2)) for of_one in values)
    return math.sqrt(squares / freedom), freedom


def _apart(a: Sequence[float], b: Sequence[float], deviation: float | None, freedom: int) -> bool:
    difference = abs(float(np.mean(b) - np.mean(a)))
    if deviation is None:
        return difference > 0
    from scipy.stats import t

    quantile = float(t.ppf((1 + LEVEL) / 2, freedom))
    return difference > quantile * deviation * math.sqrt(1 / len(a) + 1 / len(b))
