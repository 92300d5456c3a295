"""What problems with an exact checker have in common.

Shape suffixes: P problems, B solutions or beginnings of one, L ids of a prompt, S ids of steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.evals.trained_model import TrainedModel
from isoflop.train.spec import Split

Ids = NDArray[Any]


@dataclass(frozen=True)
class Task(ABC):
    """The task of a process' problems."""

    process: Any

    @property
    def prompt_length(self) -> int:
        """Ids before the first step."""
        return self.process.prompt_length

    @property
    @abstractmethod
    def step_length(self) -> int:
        """Ids of a step."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Steps of a solution."""

    @property
    def problem_length(self) -> int:
        """Ids of a prompt and its solution."""
        return self.prompt_length + self.steps * self.step_length

    def problems(self, model: TrainedModel, count: int, split: Split | None = None) -> Ids:
        """The first `count` problems of a split, each with the solution (P, L + S) that the process gives; by
        default those that the model's loss is of."""
        split = split or model.cell.split
        return model.corpus.evaluation_windows(split, self.problem_length - 1, count)

    def prompts(self, model: TrainedModel, count: int, split: Split | None = None) -> Ids:
        """The same problems (P, L) without their solutions."""
        return self.problems(model, count, split)[:, : self.prompt_length].astype(np.int32)

    @abstractmethod
    def right(self, prompts_BxL: Ids, steps_BxS: Ids) -> NDArray[np.bool_]:
        """Whether each beginning (some steps, or all) is right so far and can still be completed."""

    @abstractmethod
    def checking_operations(self, steps_done: int) -> int:
        """Whole-number operations of one verdict after so many steps, at most."""

    @abstractmethod
    def uniform_success(self, prompts_PxL: Ids) -> NDArray[np.float64]:
        """The chance (P,) of a policy that draws legal steps at random."""
