"""Countdown's problems for models that were trained on tries: the prompt ends by asking for an answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isoflop.evals.tasks.countdown import Countdown
from isoflop.evals.tasks.task import Ids
from isoflop.evals.trained_model import TrainedModel
from isoflop.train.data.processes.countdown import Steps
from isoflop.train.spec import Split


class CountdownTries(Countdown):
    """The task of a process' problems, each answered without a try unless a measurement writes some."""

    @property
    def prompt_length(self) -> int:
        """Ids before the first step, the id "answer" included."""
        return self.process.prompt_length + 1

    def prompts(self, model: TrainedModel, count: int, split: Split | None = None) -> Ids:
        """The first `count` problems (P, L) of a split, each with the id "answer" at its end."""
        prompts_PxL = self.problems(model, count, split)[:, : self.prompt_length].astype(np.int32)
        prompts_PxL[:, -1] = self.process.answer_id
        return prompts_PxL

    def chains(self, prompt_L: Ids) -> dict[Steps, float]:
        """All legal chains from a problem's numbers, each with the chance that a random one is it."""
        law: dict[Steps, float] = {}
        for steps, p in self.process.solutions(tuple(prompt_L[1 : 1 + self.process.numbers].tolist())):
            law[steps] = law.get(steps, 0.0) + p
        return law

    def right(self, prompts_BxL: Ids, steps_BxS: Ids) -> NDArray[np.bool_]:
        """Whether each beginning (some steps, or all) is legal and the target can be reached from it."""
        return super().right(prompts_BxL[:, :-1], steps_BxS)

    def uniform_success(self, prompts_PxL: Ids) -> NDArray[np.float64]:
        """The chance (P,) of a policy that draws legal steps as the process does, not knowing the target."""
        return super().uniform_success(prompts_PxL[:, :-1])
