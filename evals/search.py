"""Search at test time: best-of-N, voting and beams, under rewards that are exact, corrupted or learned.

Every method generates the same `samples` solutions' worth of tokens for a problem and answers once; right is
what an exact checker says of that answer. Best-of-N takes the sample of the highest reward; majority voting
the solution sampled most often (Wang et al. 2023), weighted voting the one with the highest sum of rewards;
a beam samples one step at a time and goes on from the best quarter (Snell et al. 2024, section 5). Where
rewards or votes are equal, the likeliest under the model is taken.

Shape suffixes: P problems, N samples of each, M of a block, S ids of steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from isoflop.base.errors import UserError
from isoflop.base.fields import Count, Fraction, Positive, check_fields
from isoflop.evals.measurement import Row
from isoflop.evals.rewards import Learned, Reward, Verdicts
from isoflop.evals.sampled import decoding_flops, sample_steps
from isoflop.evals.tasks import Task, task_of
from isoflop.evals.trained_model import TrainedModel

BRANCH = 4
"""Samples of a step that a beam takes after each beginning it has kept."""
SEEDS_OF_ONE = 8
"""Seeds that one measurement's own seed stands for: the pool's, a learned reward's, one a step."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Best-of-N, voting and beams at equal tokens, under several rewards."""

    problems: Count = 128
    """Held-out problems, the same for all models."""
    samples: tuple[int, ...] = (1, 4, 16, 64)
    """Solutions' worth of tokens that a method may generate for a problem: powers of four."""
    flipped: Fraction = 0.2
    """Share of the corrupted reward's verdicts that are wrong; 0 leaves it out."""
    traces: Annotated[int, Field(ge=0)] = 4096
    """Samples that the learned reward learns from; 0 leaves it out."""
    temperature: Positive = 1.0
    """What logits are divided by."""
    by_problem: bool = False
    """A row a problem, in the place of their mean."""
    seed: Annotated[int, Field(ge=0, lt=1 << 10)] = 0
    """Seed of the samples."""

    def __post_init__(self) -> None:
        check_fields(self)
        wrong = [n for n in self.samples if n < 1 or BRANCH ** round(math.log(n, BRANCH)) != n]
        if wrong or not self.samples:
            raise UserError(f"samples {wrong[0] if wrong else 'none'}: take powers of four, as in 1 4 16 64")


@dataclass(frozen=True)
class Pool:
    """Whole solutions of P problems, N each, and their log probabilities under the model."""

    prompts_PxL: NDArray[Any]
    steps_PxNxS: NDArray[Any]
    log_probability_PxN: NDArray[np.float64]

    def judged(self, reward: Reward) -> NDArray[np.float64]:
        """Rewards (P, N)."""
        P, N, S = self.steps_PxNxS.shape
        return reward(np.repeat(self.prompts_PxL, N, axis=0), self.steps_PxNxS.reshape(-1, S)).reshape(P, N)

    def sums_of_equals(self, weights_PxN: NDArray[np.float64], block: int) -> NDArray[np.float64]:
        """For each sample the weights of those in its block that are the same solution, added up."""
        P, N, S = self.steps_PxNxS.shape
        _, name = np.unique(self.steps_PxNxS.reshape(-1, S), axis=0, return_inverse=True)
        name_PxBxM = name.reshape(P, N // block, block)
        same_PxBxMxM = name_PxBxM[..., :, None] == name_PxBxM[..., None, :]
        return np.einsum("pbij,pbj->pbi", same_PxBxMxM, weights_PxN.reshape(name_PxBxM.shape)).reshape(P, N)


def refuse(model: TrainedModel, options: Options) -> None:
    """Raises `UserError` for a model whose data pose no problems."""
    task_of(model)


def measure(model: TrainedModel, options: Options) -> list[Row]:
    """One row a method, reward and number of samples, and a problem if asked. `test_flops`: a problem's, by
    the ledger, the reward included; a prompt is counted once a problem and each generated token once, as with
    shared caches."""
    task = task_of(model)
    pool = _pool(model, task, options)
    exact = Verdicts(task)
    right_PxN = pool.judged(exact)
    rewards: list[Reward] = [exact]
    if options.flipped:
        rewards.append(Verdicts(task, options.flipped, options.seed))
    if options.traces:
        rewards.append(Learned(model, task, options.traces, options.seed * SEEDS_OF_ONE + 1))
    ones_PxN = np.ones_like(right_PxN)
    rows = []
    for count in options.samples:
        votes_PxN = pool.sums_of_equals(ones_PxN, count)
        found = [
            ("likeliest", None, _chosen(pool, ones_PxN, right_PxN, count)),
            ("majority", None, _chosen(pool, votes_PxN, right_PxN, count)),
        ]
        for reward in rewards:
            judged_PxN = pool.judged(reward)
            # Votes are added up as chances: a learned reward is one on the scale of log odds.
            weight_PxN = judged_PxN if isinstance(reward, Verdicts) else 1.0 / (1.0 + np.exp(-judged_PxN))
            weighted_PxN = pool.sums_of_equals(weight_PxN, count)
            found += [
                ("best-of", reward, _chosen(pool, judged_PxN, right_PxN, count)),
                ("weighted", reward, _chosen(pool, weighted_PxN, right_PxN, count)),
            ]
            if count >= BRANCH:
                found.append(("beam", reward, _beam(model, task, pool.prompts_PxL, reward, count, options)))
        for method, reward, right_P in found:
            row = _row(model, task, method, reward, count, right_P)
            rows += _by_problem(row, right_P) if options.by_problem else [row]
    return rows


def _pool(model: TrainedModel, task: Task, options: Options) -> Pool:
    prompts_PxL, most = task.prompts(model, options.problems), max(options.samples)
    sampled = sample_steps(
        model,
        np.repeat(prompts_PxL, most, axis=0),
        task.problem_length - task.prompt_length,
        temperature=options.temperature,
        seed=options.seed * SEEDS_OF_ONE,
    )
    shape = (options.problems, most)
    steps_PxNxS = sampled.steps_BxS.reshape(*shape, -1)
    return Pool(prompts_PxL, steps_PxNxS, sampled.log_probability_B.reshape(shape))


def _chosen(
    pool: Pool, score_PxN: NDArray[np.float64], right_PxN: NDArray[np.float64], block: int
) -> NDArray[np.float64]:
    """How often (P,) the sample of the highest score is right, over the pool's blocks of so many samples."""
    P, N = score_PxN.shape
    shape = (P, N // block, block)
    order = np.lexsort((pool.log_probability_PxN.reshape(shape), score_PxN.reshape(shape)), axis=-1)
    best_PxBx1 = order[..., -1:]
    return np.take_along_axis(right_PxN.reshape(shape), best_PxBx1, axis=-1)[..., 0].mean(axis=1)


def _beam(
    model: TrainedModel,
    task: Task,
    prompts_PxL: NDArray[Any],
    reward: Reward,
    count: int,
    options: Options,
) -> NDArray[np.float64]:
    """Whether (P,) a beam of `count` candidates a step ends in a right solution."""
    P = len(prompts_PxL)
    begun_PxKxS = np.zeros((P, 1, 0), np.int32)
    log_PxK = np.zeros((P, 1))
    repeated_BxL = np.repeat(prompts_PxL, count, axis=0)
    for step in range(task.steps):
        each = count // begun_PxKxS.shape[1]
        begun_BxS = np.repeat(begun_PxKxS, each, axis=1).reshape(P * count, -1)
        sampled = sample_steps(
            model,
            np.concatenate([repeated_BxL, begun_BxS], axis=1),
            task.step_length,
            temperature=options.temperature,
            seed=options.seed * SEEDS_OF_ONE + 2 + step,
        )
        steps_BxS = np.concatenate([begun_BxS, sampled.steps_BxS], axis=1)
        log_PxN = np.repeat(log_PxK, each, axis=1) + sampled.log_probability_B.reshape(P, count)
        reward_PxN = reward(repeated_BxL, steps_BxS).reshape(P, count)
        steps_PxNxS = steps_BxS.reshape(P, count, -1)
        again_PxN = np.stack([_seen_before(steps_NxS) for steps_NxS in steps_PxNxS])
        kept = 1 if step == task.steps - 1 else count // BRANCH
        # The best last. What is in the beam already stands behind all of the same reward, and before what is
        # worse: of a chain with one right beginning, copies of that are better than wrong ones.
        order_PxK = np.lexsort((log_PxN, ~again_PxN, reward_PxN), axis=-1)[:, -kept:]
        begun_PxKxS = np.take_along_axis(steps_PxNxS, order_PxK[..., None], axis=1)
        log_PxK = np.take_along_axis(log_PxN, order_PxK, axis=1)
    return task.right(prompts_PxL, begun_PxKxS[:, 0]).astype(np.float64)


def _seen_before(steps_NxS: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each of a problem's candidates equals an earlier one."""
    again_N = np.ones(len(steps_NxS), dtype=bool)
    again_N[np.unique(steps_NxS, axis=0, return_index=True)[1]] = False
    return again_N


def _by_problem(row: Row, right_P: NDArray[np.float64]) -> list[Row]:
    """A row for each problem: how often its answer is right, over the pool's blocks."""
    shared = {name: value for name, value in row.items() if name not in ("problems", "accuracy_stderr")}
    return [shared | {"problem": number, "accuracy": float(right)} for number, right in enumerate(right_P)]


def _row(
    model: TrainedModel, task: Task, method: str, reward: Reward | None, count: int,
    right_P: NDArray[np.float64],
) -> Row:  # fmt: skip
    generated = count * task.steps * task.step_length
    # A beam has each step judged, the others whole solutions.
    judged = range(1, task.steps + 1) if method == "beam" else (task.steps,)
    checking = sum(reward.flops(done) for done in judged) * count if reward else 0.0
    stderr = float(right_P.std(ddof=1) / math.sqrt(len(right_P))) if len(right_P) > 1 else 0.0
    return {
        "method": method,
        "reward": reward.name if reward else "none",
        "samples": count,
        "problems": len(right_P),
        "accuracy": float(right_P.mean()),
        "accuracy_stderr": stderr,
        "generated_tokens": generated,
        "reward_flops": checking,
        "test_flops": decoding_flops(model, task.prompt_length, generated) + checking,
    }
