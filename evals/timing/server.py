"""A model in a format of weights, and the two programs that serve it: prefill and decode.

Shape suffixes: B sequences, P tokens of a prompt, N steps.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from isoflop.evals.timing.rounds import Clock, timed
from isoflop.evals.trained_model import TrainedModel
from isoflop.models import build
from isoflop.models.config import Dtype
from isoflop.models.decoding import Decoder
from isoflop.models.roles import Embedding, HiddenMatrix, Readout, TiedEmbedding, is_variable
from isoflop.models.rounding import levels_of, whole_steps

Weights = Literal["fp32", "bf16", "int8"]
"""What weights are kept in, by the names of `isoflop forecast --weights`."""


class Int8(NamedTuple):
    """A matrix of whole numbers (..., in, out), and what each output's are multiplied by (..., 1, out)."""

    whole_xIxO: jax.Array
    step_xO: jax.Array


class Server:
    """A model whose weights are kept in a format; products are computed in `dtype`, and so is the cache.

    int8: the matrices of blocks and head are kept as whole numbers and a float32 factor an output, everything
    else in `dtype`. JAX has no product of a float with an int8 matrix that skips making a float matrix of it:
    each step expands them anew, and how much of that reaches memory is XLA's to decide.
    """

    def __init__(self, model: TrainedModel, weights: Weights) -> None:
        self.dtype: Dtype = compute_dtype(weights)
        config = model.recipe.model
        self.graph = nnx.graphdef(nnx.eval_shape(lambda: build(config, seed=0, dtype=self.dtype)))
        parameters = jax.tree.leaves(model.params, is_leaf=is_variable)
        arrays, self.tree = jax.tree.flatten(model.params)
        kept = [
            _kept(type(parameter), array, weights=weights, dtype=self.dtype)
            for parameter, array in zip(parameters, arrays, strict=True)
        ]
        self.held = jax.block_until_ready(kept)
        self.weight_bytes = sum(
            x.nbytes
            for parameter, each in zip(parameters, kept, strict=True)
            if not isinstance(parameter, Embedding) or isinstance(parameter, TiedEmbedding)
            for x in jax.tree.leaves(each)
        )

    def serve(
        self, prompts_BxP: np.ndarray, output: int, clock: Clock = time.perf_counter
    ) -> tuple[float, float, np.ndarray]:
        """Seconds to the first token of all prompts, seconds of a decode step, and the likeliest `output`
        tokens (B, output) of each."""
        static = {"graph": self.graph, "tree": self.tree, "dtype": self.dtype}
        slots = prompts_BxP.shape[1] + output
        prompts = jnp.asarray(prompts_BxP, jnp.int32)
        first, (token_B, cache) = timed(lambda: prefill(self.held, prompts, slots=slots, **static), clock)
        begun = np.asarray(token_B)[:, None]
        rest, (tokens_BxN, _) = timed(
            lambda: decode_steps(self.held, token_B, cache, steps=output - 1, **static), clock
        )
        return first, rest / (output - 1), np.concatenate([begun, np.asarray(tokens_BxN)], axis=1)


def compute_dtype(weights: Weights) -> Dtype:
    """What products are computed in. int8 weights meet bfloat16, but on a CPU float32: its products of
    bfloat16 are no faster."""
    if weights == "fp32" or (weights == "int8" and jax.default_backend() == "cpu"):
        return "float32"
    return "bfloat16"


@partial(jax.jit, static_argnames=("graph", "tree", "dtype", "slots"))
def prefill(held: Any, prompts_BxP: jax.Array, *, graph: Any, tree: Any, dtype: Any, slots: int) -> Any:
    """The likeliest token (B,) after each prompt, and the cache of all, with room for `slots` tokens."""
    model = cast(Decoder, nnx.merge(graph, _expanded(held, tree, dtype)))
    batch, length = prompts_BxP.shape
    cache = model.empty_cache(batch, slots)
    features_BxPxD, cache = model.extend(prompts_BxP, jnp.full(batch, length, jnp.int32), cache)
    return _likeliest(features_BxPxD[:, -1], model), cache


@partial(jax.jit, static_argnames=("graph", "tree", "dtype", "steps"), donate_argnames="cache")
def decode_steps(
    held: Any, token_B: jax.Array, cache: Any, *, graph: Any, tree: Any, dtype: Any, steps: int
) -> Any:
    """The likeliest tokens (B, N) after `token_B`, one a step, and the cache, which is written in place."""
    one_B = jnp.ones(len(token_B), jnp.int32)

    def step(number: jax.Array, carry: tuple[jax.Array, Any, jax.Array]) -> Any:
        token_B, cache, tokens_BxN = carry
        # Without the barrier the compiler would expand the weights once, before the loop.
        weights, token_B = jax.lax.optimization_barrier((held, token_B))
        model = cast(Decoder, nnx.merge(graph, _expanded(weights, tree, dtype)))
        features_Bx1xD, cache = model.extend(token_B[:, None], one_B, cache)
        token_B = _likeliest(features_Bx1xD[:, 0], model)
        return token_B, cache, tokens_BxN.at[:, number].set(token_B)

    start = (token_B, cache, jnp.zeros((len(token_B), steps), jnp.int32))
    _, cache, tokens_BxN = jax.lax.fori_loop(0, steps, step, start)
    return tokens_BxN, cache


def _likeliest(features_BxD: jax.Array, model: Decoder) -> jax.Array:
    logits_BxV = jnp.matmul(features_BxD, model.unembedding(), preferred_element_type=jnp.float32)
    return jnp.argmax(logits_BxV, axis=-1).astype(jnp.int32)


@partial(jax.jit, static_argnames=("role", "weights", "dtype"))
def _kept(role: type[nnx.Param[Any]], array: jax.Array, *, weights: Weights, dtype: Dtype) -> Any:
    """A parameter as the format keeps it."""
    if weights == "int8" and issubclass(role, HiddenMatrix | Readout):
        whole, step = whole_steps(array, levels_of(8))
        return Int8(whole.astype(jnp.int8), step)
    return array.astype(dtype)


def _expanded(held: Any, tree: Any, dtype: Dtype) -> Any:
    """The parameters as the model takes them."""
    arrays = [
        (x.whole_xIxO.astype(jnp.float32) * x.step_xO).astype(dtype) if isinstance(x, Int8) else x
        for x in held
    ]
    return jax.tree.unflatten(tree, arrays)
