"""One model over several devices: the batch divided, parameters and moments fully sharded.

Between steps every device holds 1 / n of each matrix and of its moments (Rajbhandari et al. 2020, ZeRO). A
step gathers all float32 parameters and works on the device's own windows; gradients are summed whole on each
device, and each updates its shards: 8 bytes a parameter are not divided. In several
processes (`jax.distributed`) each calls the same functions with the same arguments.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from isoflop.base.errors import UserError
from isoflop.models.roles import Scale, is_variable

AXIS = "data"


def mesh_over(count: int) -> Mesh:
    """A mesh of `count` devices, of all processes. Raises `UserError` where there are fewer."""
    devices = jax.devices()
    if count > len(devices):
        raise UserError(
            f"devices {count}: JAX sees {len(devices)} of kind {devices[0].device_kind}: lower --devices"
        )
    return Mesh(np.array(devices[:count]), (AXIS,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def divided(mesh: Mesh) -> NamedSharding:
    """An equal share of the first axis on each device."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def sharded(mesh: Mesh, tree: Any) -> Any:
    """The sharding of each array of a tree of parameters or moments, by their roles.

    Scales, and what belongs to no parameter (the count of steps), are whole on every device; a matrix is
    divided along its longest axis that the devices divide.
    """

    def one(node: Any) -> Any:
        if not is_variable(node) or isinstance(node, Scale):
            return jax.tree.map(lambda _: replicated(mesh), node)
        return jax.tree.map(lambda x: _longest_axis(mesh, x.shape), node)

    return jax.tree.map(one, tree, is_leaf=is_variable)


def _longest_axis(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
    axes = [i for i, size in enumerate(shape) if size % mesh.size == 0]
    if not axes:
        return replicated(mesh)
    longest = max(axes, key=lambda i: shape[i])
    return NamedSharding(mesh, PartitionSpec(*(AXIS if i == longest else None for i in range(len(shape)))))
