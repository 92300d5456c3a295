"""Rounding within training: the products are those of rounded matrices, the gradients go straight through."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isoflop.base.errors import UserError
from isoflop.models import ModelConfig, build
from isoflop.models.config import ModelOptions
from isoflop.models.layers import Linear
from isoflop.models.roles import HiddenMatrix, Readout, is_variable
from isoflop.models.rounding import levels_of, quantize
from isoflop.train.spec import Recipe
from tests.support.small import small_model, small_recipe

BITS = 3


def noisy(params: Any) -> Any:
    """Parameters that are all different from zero, as the head's are not at the start."""
    draw = np.random.default_rng(0)
    return jax.tree.map(lambda x: jnp.float32(0.5 * draw.standard_normal(x.shape)), params)


def rounded(parameter: Any) -> Any:
    """A matrix of the blocks or the head, rounded; anything else as it is."""
    matrix = isinstance(parameter, HiddenMatrix | Readout)
    return jax.tree.map(lambda x: quantize(x, levels_of(BITS)) if matrix else x, parameter)


@pytest.mark.parametrize(
    "shape",
    [{}, {"experts": 2}, {"architecture": "gated_recurrence"}],
    ids=["dense", "experts", "recurrence"],
)
def test_a_model_of_few_bits_is_the_model_whose_matrices_are_rounded(shape: dict[str, Any]) -> None:
    tokens = jnp.arange(12).reshape(1, 12) % 7
    config: ModelConfig = small_model(8, context_length=12, **shape)
    few: ModelConfig = small_model(8, context_length=12, weight_bits=BITS, **shape)
    graph, start = nnx.split(build(config, seed=0))
    graph_of_few, _ = nnx.split(build(few, seed=0))
    params = noisy(start)
    by_hand = nnx.merge(graph, jax.tree.map(rounded, params, is_leaf=is_variable))(tokens)
    np.testing.assert_allclose(nnx.merge(graph_of_few, params)(tokens), by_hand, rtol=1e-5, atol=1e-5)
    assert not np.allclose(nnx.merge(graph, params)(tokens), by_hand, atol=1e-2)


def test_the_gradient_is_that_of_the_rounded_matrix() -> None:
    """For a product of two maps, where the gradient of one depends on the other's rounded values."""
    x = jnp.float32(np.random.default_rng(1).standard_normal((5, 4)))
    full, few = (
        [Linear(4, 4, gain=1.0, dtype="float32", rngs=nnx.Rngs(seed), bits=bits) for seed in (0, 1)]
        for bits in (0, BITS)
    )

    def loss(maps: list[Linear]) -> jax.Array:
        return jnp.sum(jnp.square(maps[1](maps[0](x))))

    found = nnx.grad(loss)(few)
    for linear in full:
        linear.kernel[...] = quantize(linear.kernel[...], levels_of(BITS))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(nnx.grad(loss)(full)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
        assert np.abs(one).min() > 0


def test_bits_and_granularity_are_no_part_of_the_names_of_cells_that_do_not_use_them() -> None:
    recipe: Recipe = small_recipe()
    assert "weight_bits" not in recipe.canonical
    assert "granularity" not in recipe.canonical


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"weight_bits": 1}, "model.weight_bits 1: weights are rounded to 2 to 16 bits; 0 is none"),
        ({"weight_bits": 17}, "model.weight_bits 17"),
        ({"granularity": 2}, "model.granularity 2: a dense model has no experts to split"),
        ({"granularity": 0}, "model.granularity 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        ModelOptions(**options)
