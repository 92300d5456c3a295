"""Tasks with an exact checker, one file each, named as the synthetic process that poses their problems."""

from __future__ import annotations

from isoflop.base.errors import UserError
from isoflop.evals.tasks.arithmetic import Arithmetic
from isoflop.evals.tasks.countdown import Countdown
from isoflop.evals.tasks.countdown_tries import CountdownTries
from isoflop.evals.tasks.task import Task
from isoflop.evals.trained_model import TrainedModel
from isoflop.train.data.processes import open_process

TASKS: dict[str, type[Task]] = {
    "arithmetic": Arithmetic,
    "countdown": Countdown,
    "countdown-tries": CountdownTries,
}


def task_of(model: TrainedModel) -> Task:
    """The task that a model was trained on.

    Raises `UserError` for a model of other data, and for one whose context is shorter than a problem.
    """
    source = model.recipe.data.source
    kind, _, argument = source.partition(":")
    name = argument.partition(",")[0]
    if kind != "synthetic" or name not in TASKS:
        raise UserError(
            f"model {model.cell.cell_id} was trained on {source}, which poses no problems: take a sweep on "
            f"{' or '.join(f'synthetic:{name}' for name in TASKS)}, as cpu-countdown is"
        )
    task = TASKS[name](open_process(argument))
    context = model.recipe.model.context_length
    if context < task.problem_length:
        raise UserError(
            f"model {model.cell.cell_id} has a context of {context} tokens, and a problem with its solution "
            f"has {task.problem_length}: train with --context-length {task.problem_length} or more"
        )
    return task
