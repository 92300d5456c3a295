"""A training step's matrix products, counted in its program, and a model's real parameters."""

from __future__ import annotations

import math
import re
from typing import Any

import jax
import optax
from flax import nnx

from isoflop.models import ModelConfig, build

BATCH = 3
"""Windows of a step."""


def abstract_params(config: ModelConfig) -> Any:
    """The parameter tree's shapes, without building it."""
    return nnx.state(nnx.eval_shape(lambda: build(config, seed=0)), nnx.Param)


def size_of(tree: Any) -> int:
    """Numbers in a tree of arrays."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def mean_loss(graph: Any, params: Any, tokens_BxT1: jax.Array) -> jax.Array:
    """Mean cross-entropy of the next token."""
    logits = nnx.merge(graph, params)(tokens_BxT1[:, :-1])
    return optax.softmax_cross_entropy_with_integer_labels(logits, tokens_BxT1[:, 1:]).mean()


def dot_flops(stablehlo: str) -> int:
    """FLOPs of every dot_general in a StableHLO text: two for each multiply-add."""
    pattern = re.compile(
        r"stablehlo\.dot_general .*?"
        r"(?:batching_dims = \[[\d, ]*\] x \[[\d, ]*\], )?contracting_dims = \[([\d, ]*)\] x .*?"
        r": \(tensor<([\dx]+)x\w+>, tensor<[\dx]+x\w+>\) -> tensor<([\dx]+)x\w+>"
    )
    total = 0
    for contracting, left, out in pattern.findall(stablehlo):
        sizes = [int(n) for n in left.split("x")]
        summed = math.prod(sizes[int(axis)] for axis in contracting.split(","))
        total += 2 * summed * math.prod(int(n) for n in out.split("x"))
    return total
