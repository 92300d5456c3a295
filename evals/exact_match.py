"""Loss and accuracy per token, and exact match, of chained arithmetic by the length of the chain.

For models of `synthetic:arithmetic`. The first k values of a problem are the answer to a chain of k
operations, so that every problem is asked as a chain of each length. Per-token numbers are under teacher
forcing: the right ids stand before each one that is asked for. Greedy decoding gives the right answer exactly
where each of these is the likeliest, since up to its first error it has seen the right ids; so exact match
needs no decoding.

Schaeffer et al. (2023), Are Emergent Abilities of Large Language Models a Mirage?, section 2: with errors
that are independent, exact match over n tokens is the accuracy per token to the power n, there taken to be
exp(-n loss), and seems abrupt where the loss is smooth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from isoflop.base.errors import UserError
from isoflop.base.fields import check_fields
from isoflop.evals.measurement import Row
from isoflop.evals.tasks import task_of
from isoflop.evals.tasks.arithmetic import Arithmetic
from isoflop.evals.trained_model import TrainedModel
from isoflop.train.data.processes.arithmetic import STEP, TIMES


@dataclass(frozen=True, kw_only=True)
class Options:
    """Chains of arithmetic: per token, and whole."""

    problems: Annotated[int, Field(ge=64)] = 2048
    """Held-out problems, the same for all models."""

    def __post_init__(self) -> None:
        check_fields(self)


def refuse(model: TrainedModel, options: Options) -> None:
    """Raises `UserError` for a model that was trained on anything but arithmetic."""
    _arithmetic_of(model)


def measure(model: TrainedModel, options: Options) -> list[Row]:
    """A row for each length of chain: `loss` and `token_accuracy` of all its answer's ids, and `accuracy`,
    the exact match, each with its standard error over problems. `loss_sums`: that of the values after + or -;
    `loss_products`: after *. `chance`: the accuracy of a policy that draws values uniformly."""
    task = _arithmetic_of(model)
    problems_PxI = task.problems(model, options.problems)
    # Targets begin with a window's second id.
    loss_PxKxD, correct_PxKxD = (
        np.asarray(x, np.float64)[:, task.prompt_length - 1 :].reshape(len(x), task.steps, task.step_length)
        for x in model.scores(problems_PxI)
    )
    is_product_PxK = problems_PxI[:, : STEP * task.steps : STEP] == TIMES
    rows = []
    for k in range(1, task.steps + 1):
        loss_PxK, is_product = loss_PxKxD[:, :k].mean(axis=2), is_product_PxK[:, :k]
        row: Row = {"chain": k, "tokens": k * task.step_length, "problems": len(loss_PxK)}
        row |= _mean("loss", loss_PxK.mean(axis=1))
        row |= _mean("token_accuracy", correct_PxKxD[:, :k].mean(axis=(1, 2)))
        row |= _mean("accuracy", np.all(correct_PxKxD[:, :k] > 0, axis=(1, 2)))
        row["loss_sums"] = float(loss_PxK[~is_product].mean())
        row["loss_products"] = float(loss_PxK[is_product].mean())
        row["chance"] = float(task.process.modulus) ** -k
        rows.append(row)
    return rows


def _mean(name: str, values_P: NDArray[Any]) -> Row:
    error = float(values_P.std(ddof=1) / math.sqrt(len(values_P)))
    return {name: float(values_P.mean()), f"{name}_stderr": error}


def _arithmetic_of(model: TrainedModel) -> Arithmetic:
    task = task_of(model)
    if not isinstance(task, Arithmetic):
        raise UserError(
            f"exact-match asks chains of arithmetic, and model {model.cell.cell_id} was trained on "
            f"{model.recipe.data.source}: take a sweep on synthetic:arithmetic, as cpu-arithmetic is"
        )
    return task
