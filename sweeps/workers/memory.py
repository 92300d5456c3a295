"""What training a model takes of a device's memory, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable

from isoflop.base.errors import UserError
from isoflop.models import ledger
from isoflop.models.memory import activation_bytes
from isoflop.sweeps.queue.task import Task
from isoflop.train.device import Device
from isoflop.train.execution import Execution
from isoflop.train.loss import LOGITS_BYTES
from isoflop.train.spec import Recipe

GATHERED_BYTES, KEPT_BYTES = 8, 8
"""Bytes a parameter: its float32 value and gradient, whole on each device while it steps; and two moments,
which the devices share."""

USABLE = 0.85
"""Share of the memory that arrays may fill; the rest is the programs', the allocator's and the estimate's."""

LARGEST_PACKED = 30_000_000
"""Parameters above which one model alone keeps an accelerator busy."""

MOST_MEMBERS = 32


def needed_bytes(recipe: Recipe, execution: Execution) -> tuple[int, int]:
    """Bytes on each device of (parameters, gradients and moments; activations kept for the backward pass, and
    the logits with their gradient); of a teacher its parameters, and its logits as often.

    Attention keeps what the kernel of this process' device keeps: flash attention no scores.
    """
    model, windows = recipe.model, -(-recipe.batch_size // execution.devices)
    state = recipe.ledger.params("total") * (GATHERED_BYTES + KEPT_BYTES // execution.devices)
    kept = _activations(recipe, windows, execution)
    logits = min(2 * 4 * windows * model.context_length * model.vocab_size, 2 * LOGITS_BYTES)
    if recipe.distillation:
        state += 4 * ledger(recipe.distillation.teacher.model).params("total")
        logits *= 2
    return state, kept + logits


def _activations(recipe: Recipe, windows: int, execution: Execution) -> int:
    return activation_bytes(recipe.model, windows=windows, dtype=recipe.dtype, remat=execution.remat).total


def members_that_fit(task: Task, device: Device, execution: Execution) -> int:
    """How many runs of the task's shape are trained as one program.

    One on a CPU, where members run one after the other; on an accelerator as many as its memory holds of a
    model too small to keep it busy.
    """
    recipe = task.segment.recipe
    if execution.devices > 1:
        return 1
    asked = execution.members
    if asked is None and (device.platform == "cpu" or recipe.ledger.params("total") > LARGEST_PACKED):
        return 1
    if device.platform == "gpu" and recipe.model.document_separator is not None:
        return 1  # cuDNN's batching rule doesn't take a mask that all heads share
    fit = int(USABLE * device.memory) // sum(needed_bytes(recipe, execution))
    return max(1, min(MOST_MEMBERS if asked is None else asked, fit))


def refuse_too_large(recipes: Iterable[Recipe], device: Device, execution: Execution) -> None:
    """Raises `UserError` for a batch that the devices don't divide, or, with the arithmetic, for a model that
    doesn't fit them."""
    different = {(recipe.model, recipe.distillation): recipe for recipe in recipes}
    for recipe in different.values():
        execution.refuse_batch(recipe.batch_size)
    largest = max(different.values(), key=lambda r: sum(needed_bytes(r, execution)))
    state, activations = needed_bytes(largest, execution)
    if state + activations > USABLE * device.memory:
        raise UserError(
            f"width {largest.model.width} doesn't fit {device.kind}: {largest.ledger.params('total'):,} "
            f"parameters at {GATHERED_BYTES + KEPT_BYTES / execution.devices:g} bytes are "
            f"{state / 1e9:.2f} GB, activations of a batch of {largest.batch_size} windows "
            f"{activations / 1e9:.2f} GB, and of its {device.memory / 1e9:.2f} GB {USABLE:.0%} can be used: "
            "lower batch_size, try --remat block, or more --devices"
        )
