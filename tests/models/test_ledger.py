"""The ledger against the real parameter tree, and against the products of a compiled step."""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any

import jax
import jax.extend as jex
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isoflop.models import ModelConfig, build, family, ledger
from isoflop.models.layers import CausalConvolution
from isoflop.models.ledger import BACKWARD_OVER_FORWARD
from tests.support.step_products import BATCH, abstract_params, dot_flops, mean_loss, size_of

SHAPES: dict[str, dict[str, Any]] = {
    "swiglu": {},
    "wide": {"width": 24},
    "deep": {"depth": 3},
    "gelu": {"mlp": "gelu"},
    "relu2": {"mlp": "relu2"},
    "tied": {"tie_embeddings": True},
    "grouped": {"heads": 4, "kv_heads": 2, "head_dim": 6},
    "no-convolution": {"kv_convolution": 1},
    "long-convolution": {"kv_convolution": 4, "heads": 4, "kv_heads": 2, "head_dim": 2},
    "one-kv-head-tied": {"heads": 4, "kv_heads": 1, "head_dim": 2, "tie_embeddings": True},
    # Every slot is a token's: 10 tokens, 4 experts of 5 slots, or 5 of 2.
    "two-of-four-experts": {"experts": 4, "experts_per_token": 2, "capacity_factor": 1.0},
    "four-of-eight-narrow": {"experts": 4, "experts_per_token": 2, "granularity": 2, "capacity_factor": 1.0},
    "one-of-five-experts": {"experts": 5, "capacity_factor": 1.0, "mlp": "relu2"},
}


@pytest.fixture(params=SHAPES.values(), ids=list(SHAPES))
def config(request: pytest.FixtureRequest) -> ModelConfig:
    """Shapes whose sizes differ along every axis, so that no two can be mistaken for each other."""
    overrides = {"width": 8} | request.param
    return family(vocab_size=40, context_length=10, **overrides)


def test_parameters_are_those_of_the_real_tree(config: ModelConfig) -> None:
    params = abstract_params(config)
    counted = ledger(config)
    body = size_of(params["blocks"])
    head = size_of(params["embedding"]) if config.tie_embeddings else size_of(params["head"])
    assert counted.params("total") == size_of(params)
    assert counted.params("body") == body
    assert counted.params("non_embedding") == body + head + size_of(params["final_norm"])


def test_components_are_those_of_the_real_tree(config: ModelConfig) -> None:
    params, counted = abstract_params(config), ledger(config).parameters
    blocks = [params["blocks"][i] for i in range(config.depth)]
    assert counted["qkv"] == size_of([b["attention"]["qkv"] for b in blocks])
    assert counted["out"] == size_of([b["attention"]["out"] for b in blocks])
    if config.kv_convolution > 1:
        assert counted["convolution"] == size_of([b["attention"]["convolution"] for b in blocks]) > 0
    assert counted["mlp"] + counted["router"] == size_of([b["mlp"] for b in blocks])
    assert sum(counted.values()) == size_of(params)


def lowered_step(config: ModelConfig) -> str:
    """The StableHLO of one unrolled loss and its gradient."""
    model = nnx.eval_shape(lambda: build(config, seed=0))
    graph, params = nnx.split(model)
    tokens = jax.ShapeDtypeStruct((BATCH, config.context_length + 1), jnp.int32)

    text = jax.jit(jax.value_and_grad(partial(mean_loss, graph))).lower(params, tokens).as_text()
    assert text.count("dot_general") == len(re.findall(r"dot_general .*contracting_dims", text))
    assert "stablehlo.while" not in text
    return text


def test_flops_are_the_matrix_products_of_a_step(config: ModelConfig) -> None:
    """All but the convolution's, which are no matrix products: `test_flops_of_the_convolution`."""
    tokens, counted = BATCH * config.context_length, ledger(config)
    products = counted.train_flops - (1 + BACKWARD_OVER_FORWARD) * counted.forward["convolution"]
    assert dot_flops(lowered_step(config)) == tokens * products


def elementwise_flops(jaxpr: jex.core.Jaxpr) -> int:
    """FLOPs of the products and sums of a jaxpr, one for each number that goes into a sum over an axis."""
    total = 0
    # JAX's stubs give the variables of an equation no shape.
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("mul", "add", "add_any"):
            total += math.prod(equation.outvars[0].aval.shape)  # pyright: ignore[reportAttributeAccessIssue]  # arrays
        elif equation.primitive.name == "reduce_sum":
            total += math.prod(equation.invars[0].aval.shape)  # pyright: ignore[reportAttributeAccessIssue]  # arrays
        for inner in equation.params.values():
            if isinstance(inner, jex.core.ClosedJaxpr):
                total += elementwise_flops(inner.jaxpr)
    return total


@pytest.mark.parametrize("length", [1, 2, 4])
def test_flops_of_the_convolution(length: int) -> None:
    """Forward, and the pull-back to inputs and taps, as JAX writes them."""
    config = family(16, vocab_size=40, context_length=10, depth=1, kv_convolution=length)
    graph, taps = nnx.split(CausalConvolution(length, config.kv_width))
    x_BxTxD = jnp.ones((BATCH, 10, config.kv_width))

    def convolve(taps: Any, x_BxTxD: jax.Array) -> jax.Array:
        return nnx.merge(graph, taps)(x_BxTxD)

    forward = elementwise_flops(jax.make_jaxpr(convolve)(taps, x_BxTxD).jaxpr)
    both = elementwise_flops(
        jax.make_jaxpr(lambda taps, x, dy: jax.vjp(convolve, taps, x)[1](dy))(taps, x_BxTxD, x_BxTxD).jaxpr
    )
    tokens = BATCH * 10
    assert forward == tokens * ledger(config).forward["convolution"]
    # One sum less a tap than the ledger's: a first term has nothing to be added to.
    assert both == pytest.approx((1 + BACKWARD_OVER_FORWARD) * forward, rel=0.2)


@pytest.mark.slow
def test_flops_are_what_the_compiler_counts_but_for_what_is_free() -> None:
    """XLA's own count also has the elementwise work, which shrinks beside the products as they grow."""
    config = family(128, vocab_size=256, context_length=32, depth=1)
    model = nnx.eval_shape(lambda: build(config, seed=0))
    graph, params = nnx.split(model)

    tokens = jax.ShapeDtypeStruct((4, 33), jnp.int32)
    analysis: Any = (
        jax.jit(jax.value_and_grad(partial(mean_loss, graph))).lower(params, tokens).compile().cost_analysis()
    )
    ours = 4 * 32 * ledger(config).train_flops
    assert ours <= analysis["flops"] <= 1.1 * ours


def test_by_hand() -> None:
    """One block of width 8 with four heads of 2 features, written out."""
    config = family(8, vocab_size=40, context_length=10, depth=1)
    counted = ledger(config)
    assert config.ff_width == 24
    # The previous token's share of every key and value.
    matrices, taps = 3 * 8 * 8 + 8 * 8 + 3 * 8 * 24, 2 * 8
    assert counted.params("body") == matrices + taps + 2 * 8 + 2 * 2
    assert counted.params("non_embedding") == counted.params("body") + 8 + 8 * 40
    assert counted.params("total") == counted.params("non_embedding") + 8 * 40
    attention = 2 * (2 * 10 * 8)
    assert counted.forward_flops == 2 * (matrices + taps + 8 * 40) + attention
    assert counted.train_flops == 3 * counted.forward_flops
    assert counted.causal_half == 3 * attention // 2


@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_builds_the_same_parameters(seed: int) -> None:
    config = family(8, vocab_size=40, context_length=10)
    first, second, other = (
        nnx.to_pure_dict(nnx.state(build(config, seed=s), nnx.Param)) for s in (seed, seed, seed + 1)
    )
    assert jax.tree.all(jax.tree.map(np.array_equal, first, second))
    assert not np.array_equal(first["embedding"], other["embedding"])
