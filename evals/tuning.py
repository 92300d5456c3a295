"""Further training of a trained model: of its parameters, or of adapters of low rank beside its matrices.

An adapter (Hu et al. 2021, LoRA, section 4.1) adds (alpha / r) A B to a matrix W (..., in, out), of which A
(..., in, r) starts as noise and B (..., r, out) at zero; W itself stays. They write B A, features being rows
here and columns there. Shape suffixes: S steps, B windows of a step, T targets of a window, R the largest
rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from numpy.typing import NDArray

from isoflop.models.roles import HiddenMatrix, Readout, map_roles
from isoflop.train.optimizers import directions
from isoflop.train.parametrization import multipliers
from isoflop.train.spec import AdamW, Recipe
from isoflop.train.step import objective, shape_of


class Adapter(NamedTuple):
    """What is added to a matrix (..., in, out): `down` (..., in, R) times `up` (..., R, out)."""

    down: jax.Array
    up: jax.Array


class Tuning(NamedTuple):
    """What is moved, and how fast.

    `start`: a tree of parameters, or a tuple of adapters, one a matrix; `multiplier`: of the rate, for each
    of its arrays, 0 for one that stays; `factor_R`: what each column of an adapter is multiplied by.
    """

    start: Any
    multiplier: Any
    factor_R: NDArray[np.float32]


def matrices(params: Any) -> tuple[jax.Array, ...]:
    """The matrices (..., in, out) that features are multiplied by: the blocks' and the head, routers and a
    tied head excepted."""
    return tuple(
        x for x, chosen in zip(jax.tree.leaves(params), _are_matrices(params), strict=True) if chosen
    )


def of_parameters(recipe: Recipe, params: Any, *, matrices_only: bool) -> Tuning:
    """All parameters move, or the matrices alone, at the rates of the recipe's parametrization."""
    moved = _are_matrices(params) if matrices_only else [True] * len(jax.tree.leaves(params))
    leaves, tree = jax.tree.flatten(multipliers(adamw(recipe), params).rate)
    multiplier = tree.unflatten([rate * on for rate, on in zip(leaves, moved, strict=True)])
    return Tuning(params, multiplier, np.zeros(0, np.float32))


def of_adapters(params: Any, rank: int, *, largest: int, alpha: float, seed: int) -> Tuning:
    """Adapters of that rank move, at one rate. They have the shapes of the `largest` rank, so that all ranks
    have one program; a column beyond their own has the factor 0, and stays where it is."""
    factor_R = np.where(np.arange(largest) < rank, alpha / rank, 0.0).astype(np.float32)
    start = _adapters(matrices(params), jax.random.key(seed), rank=largest)
    return Tuning(start, jax.tree.map(lambda _: 1.0, start), factor_R)


def merged(params: Any, tuned: Any, factor_R: Any) -> Any:
    """The parameters that `tuned` stands for: itself, or `params` with its adapters added to the matrices."""
    if not isinstance(tuned, tuple):
        return tuned
    changes = iter([(adapter.down * factor_R) @ adapter.up for adapter in tuned])
    leaves, tree = jax.tree.flatten(params)
    chosen = zip(leaves, _are_matrices(params), strict=True)
    return tree.unflatten([x + next(changes) if matrix else x for x, matrix in chosen])


def tune(
    recipe: Recipe,
    graph: nnx.GraphDef[Any],
    params: Any,
    tuning: Tuning,
    windows_SxBxT1: NDArray[Any],
    rates: Sequence[float] | NDArray[np.float32],
) -> Any:
    """The model's parameters after a step on each of the first len(rates) batches, at those rates, by the
    recipe's Adam without weight decay. Tunings of a shape, rates and lengths share a program."""
    padded_S = np.zeros(len(windows_SxBxT1), np.float32)
    padded_S[: len(rates)] = rates
    program = _compiled(shape_of(adamw(recipe)), graph)
    return program(params, *tuning, windows_SxBxT1, padded_S, len(rates))


def trainable(tuning: Tuning, rank: int) -> int:
    """Numbers that move: of adapters, the columns of their own rank."""
    if isinstance(tuning.start, tuple):
        return rank * sum(sum(x.size for x in adapter) for adapter in tuning.start) // len(tuning.factor_R)
    sizes = jax.tree.map(lambda x, rate: x.size * (rate > 0), tuning.start, tuning.multiplier)
    return sum(jax.tree.leaves(sizes))


def adapter_flops(recipe: Recipe, params: Any, rank: int) -> int:
    """FLOPs per token of tuning adapters, by the ledger.

    A product with a frozen matrix has a gradient for the features alone, so that it costs two forward passes
    and not three; attention and the adapters' own products, x A and then B, cost three.
    """
    ledger, found = recipe.ledger, matrices(params)
    attention = ledger.forward["attention"]
    # Of stacked matrices, as of experts, a token visits a share.
    stacked = sum(x.size for x in found if x.ndim > 2)
    visited = 1 - sum(ledger.idle.values()) / stacked if stacked else 1
    own = 0.0
    for x in found:
        stack = x.size // (x.shape[-2] * x.shape[-1]) * (visited if x.ndim > 2 else 1)
        own += 2 * rank * stack * (x.shape[-2] + x.shape[-1])
    return round(2 * (ledger.forward_flops - attention) + 3 * (attention + own))


def adamw(recipe: Recipe) -> Recipe:
    """The recipe with AdamW, whatever its optimizer: Muon would make every adapter's update orthogonal."""
    optimizer = recipe.optimizer
    own = {name: getattr(optimizer, name) for name in ("beta1", "beta2", "eps", "clip")}
    return replace(recipe, optimizer=AdamW(optimizer.peak_lr, weight_decay=0.0, **own))


def _are_matrices(params: Any) -> list[bool]:
    """Of each array, in the order of the tree's leaves."""
    return jax.tree.leaves(map_roles(lambda role: issubclass(role, HiddenMatrix | Readout), params))


@partial(jax.jit, static_argnames="rank")
def _adapters(found: tuple[jax.Array, ...], key: jax.Array, *, rank: int) -> tuple[Adapter, ...]:
    def one(number: int, x: jax.Array) -> Adapter:
        *stack, fan_in, fan_out = x.shape
        # A key a column: the first columns are the same whatever the rank.
        own = jax.random.fold_in(key, number)
        column = jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(own, k), (*stack, fan_in)))
        down = jnp.moveaxis(column(jnp.arange(rank)), 0, -1) * fan_in**-0.5
        return Adapter(down, jnp.zeros((*stack, rank, fan_out)))

    return tuple(one(number, x) for number, x in enumerate(found))


@lru_cache(maxsize=64)
def _compiled(recipe: Recipe, graph: nnx.GraphDef[Any]) -> Any:
    optimizer = recipe.optimizer
    return jax.jit(partial(_train, graph, directions(optimizer), optimizer.clip))


def _train(
    graph: nnx.GraphDef[Any],
    transform: optax.GradientTransformation,
    clip: float,
    params: Any,
    start: Any,
    multiplier: Any,
    factor_R: jax.Array,
    windows_SxBxT1: jax.Array,
    rates_S: jax.Array,
    steps: jax.Array,
) -> Any:
    def loss(tuned: Any, windows_BxT1: jax.Array) -> jax.Array:
        return objective(merged(params, tuned, factor_R), windows_BxT1, graph=graph)[0]

    def step(i: jax.Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        tuned, moments = carry
        gradient = jax.grad(loss)(tuned, windows_SxBxT1[i])
        gradient = jax.tree.map(lambda g, m: jnp.where(m > 0, g, 0), gradient, multiplier)
        if clip:
            norm = optax.tree.norm(gradient)
            gradient = jax.tree.map(lambda g: g * (clip / jnp.maximum(norm, clip)), gradient)
        direction, moments = transform.update(gradient, moments)
        return jax.tree.map(lambda p, d, m: p - rates_S[i] * m * d, tuned, direction, multiplier), moments

    # A traced bound: one program for all lengths up to S.
    tuned, _ = jax.lax.fori_loop(0, steps, step, (start, transform.init(start)))
    return merged(params, tuned, factor_R)
