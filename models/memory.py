"""What a backward pass finds kept: activation memory, counted before anything is allocated."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from isoflop.models.config import Dtype, ModelConfig, Remat
from isoflop.models.registry import build


class Activations(NamedTuple):
    """Bytes: `block` in each of `depth` blocks, `outside` of them, `recomputed` for one block at a time."""

    block: int
    depth: int
    outside: int
    recomputed: int

    @property
    def total(self) -> int:
        """depth * block + outside + recomputed."""
        return self.depth * self.block + self.outside + self.recomputed


def activation_bytes(
    config: ModelConfig, *, windows: int, dtype: Dtype = "float32", remat: Remat = "none"
) -> Activations:
    """What a backward pass through `features` of `windows` full windows at a time needs kept.

    Exact for what JAX hands from the forward to the backward pass, by the attention kernel of this process's
    device; approximate for the compiled program, which recomputes some elementwise results, needs room to
    work in, and on a CPU undoes `remat` altogether (there, `none` is within a factor 1.25 in the tests). Not
    in it: parameters, their copies in `dtype`, gradients, moments, and the loss with its logits. Blocks are
    taken to be alike.
    """
    kept = _of_one_window(config, dtype, remat)
    full = kept if remat == "none" else _of_one_window(config, dtype, "none")
    return Activations(
        block=windows * kept[0],
        depth=config.depth,
        outside=windows * kept[1],
        recomputed=0 if remat == "none" else windows * full[0],
    )


@lru_cache(maxsize=256)
def _of_one_window(config: ModelConfig, dtype: Dtype, remat: Remat) -> tuple[int, int]:
    """Bytes a window adds in each block, and outside: differences leave out what no window changes."""
    one, two = (
        _kept(shape, 2, dtype, remat) - _kept(shape, 1, dtype, remat)
        for shape in (replace(config, depth=1), replace(config, depth=2))
    )
    return two - one, 2 * one - two


def _kept(config: ModelConfig, windows: int, dtype: Dtype, remat: Remat) -> int:
    model = nnx.eval_shape(lambda: build(config, seed=0, dtype=dtype, remat=remat))
    graph, params = nnx.split(model)
    tokens = jax.ShapeDtypeStruct((windows, config.context_length), jnp.int32)

    def features(params: Any, tokens: jax.Array) -> Any:
        model: Any = nnx.merge(graph, params)
        return model.features(tokens)

    def backward(params: Any, tokens: jax.Array) -> Any:
        return jax.vjp(lambda p: features(p, tokens), params)[1]

    kept = jax.tree.leaves(jax.eval_shape(backward, params, tokens))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in kept)
