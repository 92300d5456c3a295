"""How hard a model finds a problem, by its own signals, beside how many of its samples solve it.

Snell et al. (2024, arXiv 2408.03314, section 3.2) divide problems by the mean reward of many samples, and do
not count what these cost. Here are signals of counted cost: a probe of the prompt alone, as Damani et al.
(2024, arXiv 2410.04707) train one, for which nothing is sampled; and means over the `first` few samples,
which are left out of `n` and `c`. The table is one that `isoflop coverage` reads.

Shape suffixes: P problems, N samples of each, F the first of them, S ids of steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import expit

from isoflop.base.errors import UserError
from isoflop.base.fields import Count, Positive, check_fields
from isoflop.evals.measurement import Row
from isoflop.evals.rewards import Learned, features_at_end, logistic_regression
from isoflop.evals.sampled import decoding_flops, sample_steps
from isoflop.evals.tasks import Task, task_of
from isoflop.evals.trained_model import TrainedModel

SEEDS_OF_ONE = 4
"""Seeds that one measurement's own seed stands for: the samples', the learned reward's, the probe's."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Signals of difficulty of each problem, beside repeated sampling judged by an exact checker."""

    problems: Count = 512
    """Held-out problems, the same for all models."""
    attempts: Count = 128
    """Samples of each problem, besides the first."""
    first: Count = 4
    """Samples of each problem that the signals are computed from."""
    traces: Count = 4096
    """Samples, of as many problems, that the probe and the learned reward learn from."""
    temperature: Positive = 1.0
    """What logits are divided by."""
    seed: Annotated[int, Field(ge=0, lt=1 << 10)] = 0
    """Seed of the samples."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.attempts < 2:
            raise UserError("--attempts 1: take two or more, of which a half ranks the problems")


def refuse(model: TrainedModel, options: Options) -> None:
    """Raises `UserError` for a model whose data pose no problems."""
    task_of(model)


def measure(model: TrainedModel, options: Options) -> list[Row]:
    """One row a problem: `n` samples, `c` of them right, those of the `first` that were, and the signals, the
    higher the easier; `test_flops` are of one sample, the prompt's included."""
    task, seed = task_of(model), options.seed * SEEDS_OF_ONE
    prompts_PxL = task.prompts(model, options.problems)
    count = task.problem_length - task.prompt_length
    N, F = options.first + options.attempts, options.first
    repeated_BxL = np.repeat(prompts_PxL, N, axis=0)
    sampled = sample_steps(model, repeated_BxL, count, temperature=options.temperature, seed=seed)
    right_PxN = task.right(repeated_BxL, sampled.steps_BxS).reshape(-1, N)
    log_PxN = sampled.log_probability_B.reshape(-1, N)
    steps_PxFxS = sampled.steps_BxS.reshape(len(prompts_PxL), N, -1)[:, :F]
    learned = Learned(model, task, options.traces, seed + 1)
    reward_PxF = learned(np.repeat(prompts_PxL, F, axis=0), steps_PxFxS.reshape(-1, count)).reshape(-1, F)
    probe_P = expit(_probe(model, task, prompts_PxL, options.traces, seed + 2))
    flops = decoding_flops(model, task.prompt_length, count)
    return [
        {
            "problem": number,
            "n": options.attempts,
            "c": int(right_PxN[number, F:].sum()),
            "probe": float(probe_P[number]),
            "first": F,
            "first_right": int(right_PxN[number, :F].sum()),
            "first_reward": float(expit(reward_PxF[number]).mean()),
            "first_log_probability": float(log_PxN[number, :F].mean()),
            "first_agreement": _agreement(steps_PxFxS[number]),
            "generated_tokens": count,
            "test_flops": flops,
        }
        for number in range(len(prompts_PxL))
    ]


def _probe(
    model: TrainedModel, task: Task, prompts_PxL: NDArray[np.int32], traces: int, seed: int
) -> NDArray[np.float64]:
    """Log odds (P,) that a sample of a problem is right, by logistic regression on the model's features at
    the prompt's end; learned from one sample of each of `traces` problems of the tuning split."""
    asked_BxL = task.prompts(model, traces, "tune")
    count = task.problem_length - task.prompt_length
    steps_BxS, _ = sample_steps(model, asked_BxL, count, temperature=1.0, seed=seed)
    weights_D = logistic_regression(features_at_end(model, asked_BxL), task.right(asked_BxL, steps_BxS))
    return features_at_end(model, prompts_PxL) @ weights_D


def _agreement(steps_FxS: NDArray[np.int32]) -> float:
    """The chance that two of the samples, drawn with replacement, are the same solution."""
    _, counts = np.unique(steps_FxS, axis=0, return_counts=True)
    return float(((counts / len(steps_FxS)) ** 2).sum())
