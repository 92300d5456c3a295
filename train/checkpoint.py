"""A run's state on disk, by Orbax."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from train.execution import Execution
from train.mesh import sharded
from train.spec import Recipe
from train.step import State, programs

BYTES_PER_PARAMETER = 12
"""Float32 parameters and two Adam moments."""


def save(state: State, path: Path) -> None:
    """Writes `state` to the new folder `path`; returns once it is there whole."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.absolute(), state)


def restore(recipe: Recipe, path: Path, how: Execution = Execution()) -> State:
    """The state in `path`, on the devices that `how` names, whatever wrote it."""
    program = programs(recipe, how)
    shapes = jax.eval_shape(program.init, 0)
    single = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    where = sharded(program.mesh, shapes) if program.mesh else jax.tree.map(lambda _: single, shapes)

    def target(x: Any, sharding: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path.absolute(), jax.tree.map(target, shapes, where))
