"""A run's state on disk: its arrays, whole, in one file, whatever devices they were on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from isoflop.models import ModelConfig, build
from isoflop.train.execution import Execution
from isoflop.train.mesh import sharded
from isoflop.train.spec import Recipe
from isoflop.train.step import TrainState, programs

BYTES_PER_PARAMETER = 12
"""Float32 parameters and two Adam moments."""

FILE = "state.npz"


def save(state: TrainState, path: Path) -> None:
    """Writes `state` into the new folder `path`. Of several processes that hold parts of it all must call
    this; the first writes."""
    arrays = {name: _whole(x) for name, x in _named(state)}
    if jax.process_index() == 0:
        path.mkdir()
        np.savez(path / FILE, **arrays)  # pyright: ignore[reportArgumentType]  # arrays by name


def restore(recipe: Recipe, path: Path, execution: Execution = Execution()) -> TrainState:
    """The state in `path`, on the devices that `execution` names, whatever wrote it."""
    program = programs(recipe, execution)
    shapes = jax.eval_shape(program.init, 0)
    with np.load(path / FILE) as file:
        arrays = [file[name] for name, _ in _named(shapes)]
    state = jax.tree.unflatten(jax.tree.structure(shapes), arrays)
    if program.mesh is None:  # bound to no device, as after initialization: the same program goes on
        return jax.tree.map(jnp.array, state)
    return jax.tree.map(_put, state, sharded(program.mesh, shapes))


def save_params(params: Any, path: Path) -> None:
    """Writes parameters alone into the new folder `path`, for `restore_params`."""
    save(TrainState(params, ()), path)


def params_digest(params: Any) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of the parameters' names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, x in _named(params):
        array = np.asarray(x)
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def restore_params(model: ModelConfig, path: Path) -> Any:
    """The parameters alone of the state in `path`, of a model of that shape, on the default device."""
    shapes = jax.eval_shape(lambda: nnx.state(build(model, seed=0), nnx.Param))
    with np.load(path / FILE) as file:
        # Named as within a state, which is what the file holds.
        arrays = [jnp.asarray(file[name]) for name, _ in _named(TrainState(shapes, ()))]
    return jax.tree.unflatten(jax.tree.structure(shapes), arrays)


def _put(array: NDArray[Any], sharding: Any) -> jax.Array:
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def _named(tree: Any) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _whole(x: jax.Array) -> NDArray[Any]:
    if x.is_fully_addressable:
        return np.asarray(x)
    from jax.experimental.multihost_utils import process_allgather

    return np.asarray(process_allgather(x, tiled=True))
