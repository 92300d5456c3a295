"""Activation memory against what the compiler sets aside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from isoflop.models import ModelConfig, build, family
from isoflop.models.memory import activation_bytes

WINDOWS = 8

SHAPES: dict[str, dict[str, Any]] = {
    "long": {"context_length": 256, "mlp": "relu2"},
    "gated": {"depth": 5},
    "experts": {"experts": 4, "experts_per_token": 2},
}


def model(**overrides: Any) -> ModelConfig:
    """Width 64, so that activations outweigh parameters."""
    return family(64, **{"vocab_size": 256, "context_length": 64} | overrides)


def compiled_bytes(config: ModelConfig) -> int:
    """Temporary memory of the compiled gradient of a sum over the features."""
    graph, params = nnx.split(nnx.eval_shape(lambda: build(config, seed=0)))
    tokens = jax.ShapeDtypeStruct((WINDOWS, config.context_length), jnp.int32)

    def total(params: Any, tokens: jax.Array) -> jax.Array:
        model: Any = nnx.merge(graph, params)
        return jnp.sum(model.features(tokens)[0] ** 3)

    once: Any = {"xla_backend_optimization_level": 0}
    compiled = jax.jit(jax.grad(total)).lower(params, tokens).compile(compiler_options=once)
    return compiled.memory_analysis().temp_size_in_bytes  # pyright: ignore[reportOptionalMemberAccess]  # a CPU has it


@pytest.mark.parametrize("overrides", SHAPES.values(), ids=list(SHAPES))
def test_it_is_near_what_the_compiler_sets_aside(overrides: dict[str, Any]) -> None:
    config = model(**overrides)
    ours = activation_bytes(config, windows=WINDOWS).total
    assert ours / 1.25 < compiled_bytes(config) < 1.25 * ours


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2)])
def test_by_hand(dtype: Any, size: int) -> None:
    """`block` keeps a block's input, `dots` the outputs of its linear maps too; one block is done anew."""
    config = model()
    tokens = WINDOWS * config.context_length
    none, block, dots = (
        activation_bytes(config, windows=WINDOWS, dtype=dtype, remat=remat)
        for remat in ("none", "block", "dots")
    )
    assert block.block == tokens * config.width * size
    linear = config.qkv_width + 2 * config.ff_width
    assert dots.block == pytest.approx(block.block + tokens * (linear + config.width) * size, rel=0.15)
    assert block.recomputed == dots.recomputed == none.block > dots.block
    assert none.recomputed == 0
    assert block.total == config.depth * block.block + block.outside + block.recomputed


def test_it_grows_with_the_windows_and_the_depth() -> None:
    config = model()
    one, three = (activation_bytes(config, windows=n) for n in (1, 3))
    deep = activation_bytes(replace(config, depth=9), windows=1)
    assert three.total == 3 * one.total
    assert deep.total - one.total == (9 - config.depth) * one.block
