"""A run's state on disk, by Orbax."""

from __future__ import annotations

from pathlib import Path

import jax
import orbax.checkpoint as ocp

from train.spec import Recipe
from train.step import State, programs

BYTES_PER_PARAMETER = 12
"""Float32 parameters and two Adam moments."""


def save(state: State, path: Path) -> None:
    """Writes `state` to the new folder `path`; returns once it is there whole."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.absolute(), state)


def restore(recipe: Recipe, path: Path) -> State:
    """The state in `path`, on this process' default device, whatever wrote it."""
    shape = jax.eval_shape(programs(recipe).init, 0)
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), shape)
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path.absolute(), target)
