"""Rewards of a solution or its beginning: exact, with some verdicts flipped, or learned from samples.

Shape suffixes: B solutions or beginnings, L ids of a prompt, S ids of steps, D features.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray
from scipy.special import expit

from isoflop.evals.sampled import BATCH, sample_steps
from isoflop.evals.tasks import Task
from isoflop.evals.trained_model import TrainedModel

RIDGE = 1.0
"""Weight of the squared coefficients of a learned reward, features being of unit mean square."""
NEWTON_STEPS = 20


class Reward(Protocol):
    """What a search asks of whatever judges its candidates."""

    @property
    def name(self) -> str:
        """As in the table."""
        ...

    def __call__(self, prompts_BxL: NDArray[Any], steps_BxS: NDArray[Any]) -> NDArray[np.float64]:
        """The reward (B,) of each candidate: the higher, the better."""
        ...

    def flops(self, steps_done: int) -> float:
        """What one reward after so many steps costs, FLOPs; whole-number operations count as such."""
        ...


@dataclass(frozen=True)
class Verdicts:
    """1 for what is right and 0 for what is not; of all candidates a share `flipped`, chosen by their
    content, has the other one. The same candidate has the same verdict always."""

    task: Task
    flipped: float = 0.0
    seed: int = 0

    @property
    def name(self) -> str:
        """exact, or corrupted."""
        return "corrupted" if self.flipped else "exact"

    def __call__(self, prompts_BxL: NDArray[Any], steps_BxS: NDArray[Any]) -> NDArray[np.float64]:
        right_B = self.task.right(prompts_BxL, steps_BxS)
        if not self.flipped:
            return right_B.astype(np.float64)
        ids_BxI = np.concatenate([prompts_BxL, steps_BxS], axis=1).astype("<i4")
        salt = self.seed.to_bytes(8, "little")
        words = [hashlib.blake2b(row.tobytes(), digest_size=4, salt=salt).digest() for row in ids_BxI]
        chance_B = np.frombuffer(b"".join(words), dtype="<u4") / 2.0**32
        return (right_B ^ (chance_B < self.flipped)).astype(np.float64)

    def flops(self, steps_done: int) -> float:
        return self.task.checking_operations(steps_done)


@dataclass(frozen=True)
class Learned:
    """The chance that a beginning is right, by logistic regression on the model's own last features, one a
    number of steps: learned from exact verdicts on `traces` samples of problems of the tuning split."""

    model: TrainedModel
    task: Task
    traces: int
    seed: int
    name: str = "learned"
    weights: dict[int, NDArray[np.float64]] = field(init=False)

    def __post_init__(self) -> None:
        prompts_BxL = self.task.prompts(self.model, self.traces, "tune")
        length = self.task.problem_length - self.task.prompt_length
        steps_BxS, _ = sample_steps(self.model, prompts_BxL, length, temperature=1.0, seed=self.seed)
        weights = {}
        for done in range(1, self.task.steps + 1):
            begun_BxS = steps_BxS[:, : done * self.task.step_length]
            right_B = self.task.right(prompts_BxL, begun_BxS)
            weights[done] = logistic_regression(self._features(prompts_BxL, begun_BxS), right_B)
        object.__setattr__(self, "weights", weights)

    def __call__(self, prompts_BxL: NDArray[Any], steps_BxS: NDArray[Any]) -> NDArray[np.float64]:
        done = steps_BxS.shape[1] // self.task.step_length
        return self._features(prompts_BxL, steps_BxS) @ self.weights[done]

    def flops(self, steps_done: int) -> float:
        return 2.0 * self.model.recipe.model.width

    def _features(self, prompts_BxL: NDArray[Any], steps_BxS: NDArray[Any]) -> NDArray[np.float64]:
        return features_at_end(self.model, np.concatenate([prompts_BxL, steps_BxS], axis=1))


def features_at_end(model: TrainedModel, ids_BxI: NDArray[Any]) -> NDArray[np.float64]:
    """The model's features at the last id, and a one: (B, D + 1)."""
    ids_BxI = ids_BxI.astype(np.int32)
    filled = np.concatenate([ids_BxI, np.repeat(ids_BxI[-1:], -len(ids_BxI) % BATCH, axis=0)])
    parts = [
        np.asarray(_last_features(model.params, part, graph=model.graph))
        for part in filled.reshape(-1, BATCH, ids_BxI.shape[1])
    ]
    features_BxD = np.concatenate(parts)[: len(ids_BxI)].astype(np.float64)
    return np.concatenate([features_BxD, np.ones((len(features_BxD), 1))], axis=1)


def logistic_regression(features_BxD: NDArray[np.float64], right_B: NDArray[Any]) -> NDArray[np.float64]:
    """Coefficients (D,) of the most likely chances expit(features @ coefficients) under a ridge, by Newton's
    method; the last feature is the constant, which has no ridge."""
    ridge_D = np.full(features_BxD.shape[1], RIDGE)
    ridge_D[-1] = 1e-6
    weights_D = np.zeros(len(ridge_D))
    for _ in range(NEWTON_STEPS):
        chance_B = expit(features_BxD @ weights_D)
        gradient_D = features_BxD.T @ (right_B - chance_B) - ridge_D * weights_D
        bend_B = chance_B * (1.0 - chance_B)
        hessian_DxD = (features_BxD * bend_B[:, None]).T @ features_BxD + np.diag(ridge_D)
        weights_D = weights_D + np.linalg.solve(hessian_DxD, gradient_D)
    return weights_D


@partial(jax.jit, static_argnames="graph")
def _last_features(params: Any, ids_BxI: jax.Array, *, graph: nnx.GraphDef[Any]) -> jax.Array:
    model: Any = nnx.merge(graph, params)
    features_BxIxD, _ = model.features(ids_BxI)
    return features_BxIxD[:, -1].astype(jnp.float32)
