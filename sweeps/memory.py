"""What training a model takes of a device's memory, before anything is trained."""

from __future__ import annotations

from models.errors import UserError
from models.memory import activation_bytes
from sweeps.execute import Task
from sweeps.plan import Plan
from train.device import Device
from train.execution import Execution
from train.loss import LOGITS_BYTES
from train.spec import Recipe

STATE_BYTES = 16
"""A parameter's float32 value, its gradient, and two moments."""

USABLE = 0.85
"""Share of the memory that arrays may fill; the rest is the programs', the allocator's and the estimate's."""

LARGEST_PACKED = 30_000_000
"""Parameters above which one model alone keeps an accelerator busy."""

MOST_MEMBERS = 32


def needed_bytes(recipe: Recipe, how: Execution) -> tuple[int, int]:
    """Bytes on each device of (parameters, gradients and moments; activations kept for the backward pass, and
    the logits with their gradient)."""
    model, windows = recipe.model, -(-recipe.batch_size // how.devices)
    state = STATE_BYTES * recipe.ledger.params("total") // how.devices
    kept = activation_bytes(model, windows=windows, dtype=recipe.dtype, remat=how.remat).total
    logits = min(2 * 4 * windows * model.context_length * model.vocab_size, 2 * LOGITS_BYTES)
    return state, kept + logits


def members_that_fit(task: Task, device: Device, how: Execution) -> int:
    """How many runs of the task's shape are trained as one program.

    One on a CPU, where members run one after the other; on an accelerator as many as its memory holds of a
    model too small to keep it busy.
    """
    recipe = task.segment.recipe
    if how.devices > 1:
        return 1
    if how.members is not None:
        return how.members
    if device.platform == "cpu" or recipe.ledger.params("total") > LARGEST_PACKED:
        return 1
    return max(1, min(MOST_MEMBERS, int(USABLE * device.memory) // sum(needed_bytes(recipe, how))))


def refuse_too_large(plan: Plan, device: Device, how: Execution) -> None:
    """Raises `UserError` for a batch that the devices don't divide, or, with the arithmetic, for a model that
    doesn't fit them."""
    recipes = {p.cell.recipe.model: p.cell.recipe for p in (*plan.grid, *plan.tuning)}
    for recipe in recipes.values():
        if recipe.batch_size % how.devices:
            raise UserError(
                f"batch_size {recipe.batch_size} can't be divided among {how.devices} devices: make it a "
                "multiple"
            )
    largest = max(recipes.values(), key=lambda r: r.model.width)
    state, activations = needed_bytes(largest, how)
    if state + activations > USABLE * device.memory:
        raise UserError(
            f"width {largest.model.width} doesn't fit {device.kind}: {largest.ledger.params('total'):,} "
            f"parameters at {STATE_BYTES} bytes over {how.devices} devices are {state / 1e9:.2f} GB, "
            f"activations of a batch of {largest.batch_size} windows {activations / 1e9:.2f} GB, and of its "
            f"{device.memory / 1e9:.2f} GB {USABLE:.0%} can be used: lower batch_size, try --remat block, or "
            "more --devices"
        )
