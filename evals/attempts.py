"""Repeated attempts at a task's problems: how many samples of a model are right, by an exact checker.

The table has a row a problem, in the form that `isoflop coverage` reads: `n` samples, `c` of them right
(Chen et al. 2021; Brown et al. 2024). Models are asked the same problems, of the stream that their held-out
loss is of. The sweep's data decide the task: see `isoflop.evals.tasks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from isoflop.base.fields import Count, NotNegative, check_fields
from isoflop.evals.measurement import Row
from isoflop.evals.sampled import decoding_flops, sample_steps
from isoflop.evals.tasks import task_of
from isoflop.evals.trained_model import TrainedModel


@dataclass(frozen=True, kw_only=True)
class Options:
    """Repeated sampling of each problem, judged by an exact checker."""

    problems: Count = 128
    """Held-out problems, the same for all models."""
    attempts: Count = 64
    """Samples of each problem."""
    temperature: NotNegative = 1.0
    """What logits are divided by; 0 is greedy."""
    seed: Annotated[int, Field(ge=0, lt=1 << 15)] = 0
    """Seed of the samples."""

    def __post_init__(self) -> None:
        check_fields(self)


def refuse(model: TrainedModel, options: Options) -> None:
    """Raises `UserError` for a model whose data pose no problems."""
    task_of(model)


def measure(model: TrainedModel, options: Options) -> list[Row]:
    """One row a problem: `generated_tokens` and `test_flops` are of one sample, the prompt's included;
    `uniform_success` is the chance of a policy that draws legal steps at random."""
    task = task_of(model)
    prompts_PxL = task.prompts(model, options.problems)
    repeated_BxL = np.repeat(prompts_PxL, options.attempts, axis=0)
    count = task.problem_length - task.prompt_length
    steps_BxS, _ = sample_steps(
        model, repeated_BxL, count, temperature=options.temperature, seed=options.seed
    )
    right_P = task.right(repeated_BxL, steps_BxS).reshape(options.problems, -1).sum(axis=1)
    flops = decoding_flops(model, task.prompt_length, count)
    return [
        {
            "problem": number,
            "n": options.attempts,
            "c": int(right),
            "generated_tokens": count,
            "test_flops": flops,
            "uniform_success": float(chance),
        }
        for number, (right, chance) in enumerate(zip(right_P, task.uniform_success(prompts_PxL), strict=True))
    ]
