"""Training speed with what a sweep reckons with, in a process of its own."""

from __future__ import annotations

from typing import Any

from benchmarks.training_speed import recipe_of, train_speed
from isoflop.models import ModelConfig
from isoflop.models.config import Dtype
from isoflop.sweeps.workers.memory import needed_bytes
from isoflop.train.execution import Execution

TRAINING_SPEED = "benchmarks.accelerator.training.training"


def training(model: dict[str, Any], batch: int, dtype: Dtype, members: int) -> dict[str, Any]:
    """`train_speed`, its FLOP/s by the exact ledger, and the bytes that a sweep states for it."""
    recipe = recipe_of(ModelConfig(**model), batch, dtype)
    stated = members * sum(needed_bytes(recipe, Execution()))
    measured = train_speed(model, batch, dtype, members)
    flops = measured["tokens_per_second"] * recipe.ledger.train_flops
    return {**measured, "flops_per_second": flops, "stated_bytes": stated}
