"""Chained modular arithmetic and its exact checker: a step is one value, and there is one right one.

Shape suffixes as in `isoflop.evals.tasks.task`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isoflop.evals.tasks.task import Ids, Task

OPERATIONS = 4
"""Whole-number operations that check a step: the result, its remainder, the value's digits, a comparison."""


class Arithmetic(Task):
    """The task of a process' problems."""

    @property
    def step_length(self) -> int:
        return self.process.digits

    @property
    def steps(self) -> int:
        return self.process.steps

    def right(self, prompts_BxL: Ids, steps_BxS: Ids) -> NDArray[np.bool_]:
        """Whether every value so far is the right one."""
        return (self.process.answers(prompts_BxL)[:, : steps_BxS.shape[1]] == steps_BxS).all(axis=1)

    def checking_operations(self, steps_done: int) -> int:
        return OPERATIONS * steps_done

    def uniform_success(self, prompts_PxL: Ids) -> NDArray[np.float64]:
        """The chance (P,) of a policy that draws each value uniformly from those there are."""
        return np.full(len(prompts_PxL), float(self.process.modulus) ** -self.steps)
