"""The compiled programs of one recipe: initialize, train a stretch of steps, evaluate. Pure functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from models import build
from train.spec import AdamW, Recipe

EVAL_BATCH = 16
"""Windows evaluated at a time: a constant, so that a loss doesn't depend on who asked for it."""


class State(NamedTuple):
    """Everything a run carries from one step to the next: parameters and optimizer moments (pytrees)."""

    params: Any
    moments: Any


@dataclass(frozen=True)
class Programs:
    """Jitted functions of arrays.

    init(seed) -> State
    train(state, windows (W, T+1), index (S, B), rates (S,), weight_decay, steps <= S) -> State, losses (S,)
    evaluate(params, windows (E, T+1)) -> mean loss of each window, nats per token (E,)
    """

    init: Callable[[int], State]
    train: Callable[..., tuple[State, jax.Array]]
    evaluate: Callable[[Any, jax.Array], jax.Array]


def programs(recipe: Recipe) -> Programs:
    """The programs of a recipe; recipes that differ in rate, schedule, length or seed share them."""
    optimizer = replace(recipe.optimizer, peak_lr=0.0, weight_decay=0.0)
    shape = replace(recipe, optimizer=optimizer, init_seed=0, data_seed=0)
    return _programs(replace(shape, schedule=replace(shape.schedule, name="wsd", warmup_steps=0)))


def window_losses(logits_BxTxV: jax.Array, targets_BxT: jax.Array) -> jax.Array:
    """Mean cross-entropy of each window (B,), nats per token."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits_BxTxV, targets_BxT)
    return losses.mean(axis=-1)


@lru_cache(maxsize=64)
def _programs(recipe: Recipe) -> Programs:
    def fresh(seed: Any) -> nnx.Module:
        return build(recipe.model, seed=seed, dtype=recipe.dtype)

    graph, _ = nnx.split(nnx.eval_shape(lambda: fresh(0)))
    transform = _adam_directions(recipe.optimizer)

    def losses_of(params: Any, windows_BxT1: jax.Array) -> jax.Array:
        tokens = windows_BxT1.astype(jnp.int32)
        logits = nnx.merge(graph, params)(tokens[:, :-1])  # pyright: ignore[reportCallIssue]
        return window_losses(logits, tokens[:, 1:])

    def init(seed: jax.Array) -> State:
        params = nnx.state(fresh(seed), nnx.Param)
        return State(params, transform.init(params))

    def train(state: State, windows: Any, index: Any, rates: Any, decay: Any, steps: Any) -> Any:
        def one_step(i: jax.Array, carry: tuple[State, jax.Array]) -> tuple[State, jax.Array]:
            state, losses = carry
            loss, state = _step(losses_of, transform, state, windows[index[i]], rates[i], decay)
            return state, losses.at[i].set(loss)

        return jax.lax.fori_loop(0, steps, one_step, (state, jnp.zeros(rates.shape)))

    def evaluate(params: Any, windows_ExT1: jax.Array) -> jax.Array:
        batches = windows_ExT1.reshape(-1, EVAL_BATCH, windows_ExT1.shape[-1])
        return jax.lax.map(partial(losses_of, params), batches).reshape(-1)

    # Initialization runs once: half of its time was LLVM polishing it.
    once = {"xla_backend_optimization_level": 0}
    return Programs(jax.jit(init, compiler_options=once), jax.jit(train, donate_argnums=0), jax.jit(evaluate))


def _step(
    losses_of: Callable[[Any, jax.Array], jax.Array],
    transform: optax.GradientTransformation,
    state: State,
    windows_BxT1: jax.Array,
    rate: jax.Array,
    weight_decay: jax.Array,
) -> tuple[jax.Array, State]:
    loss, gradient = jax.value_and_grad(lambda p: losses_of(p, windows_BxT1).mean())(state.params)
    direction, moments = transform.update(gradient, state.moments, state.params)
    decayed = jax.tree_util.tree_map_with_path(
        lambda path, d, p: d + weight_decay * p if _is_decayed(path, p) else d, direction, state.params
    )
    params = jax.tree.map(lambda p, d: p - rate * d, state.params, decayed)
    return loss, State(params, moments)


def _adam_directions(optimizer: AdamW) -> optax.GradientTransformation:
    """Clipped Adam without its rate: rate and weight decay reach the compiled step as numbers."""
    return optax.chain(
        optax.clip_by_global_norm(optimizer.clip),
        optax.scale_by_adam(b1=optimizer.beta1, b2=optimizer.beta2, eps=optimizer.eps),
    )


def _is_decayed(path: tuple[Any, ...], parameter: jax.Array) -> bool:
    """Matrices of the blocks and the head: not the scales, and not the embedding, whose rows are look-ups."""
    return parameter.ndim >= 2 and "embedding" not in jax.tree_util.keystr(path)
