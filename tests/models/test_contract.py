"""What every architecture owes its trainer, in every combination of its options."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isoflop.base.errors import UserError
from isoflop.models import ModelConfig, build
from isoflop.models.registry import architectures
from tests.support.small import small_model

TOKENS = np.random.default_rng(0).integers(0, 40, (2, 10))

SHAPES: dict[str, dict[str, Any]] = {
    "dense": {},
    "tied-documents": {"tie_embeddings": True, "document_separator": 3},
    "grouped-scaled": {"heads": 4, "kv_heads": 2, "head_dim": 2, "mlp": "relu2", "branch_scale": 0.5},
    "one-of-three-experts": {"experts": 3, "capacity_factor": 0.8},
    "two-of-four-experts": {"experts": 4, "experts_per_token": 2, "document_separator": 3},
}


@pytest.fixture(params=architectures())
def architecture(request: pytest.FixtureRequest) -> str:
    """Each architecture of this package."""
    return request.param


@pytest.fixture(params=SHAPES.values(), ids=list(SHAPES))
def config(request: pytest.FixtureRequest, architecture: str) -> ModelConfig:
    """Each shape, for each architecture."""
    shape = {"vocab_size": 40, "context_length": 10, "architecture": architecture}
    return small_model(8, **shape | request.param)


def split(config: ModelConfig, **options: Any) -> tuple[Any, Any]:
    """The model's graph, and noise for every parameter, so that every path carries something."""
    graph, shapes = nnx.split(nnx.eval_shape(lambda: build(config, seed=0, **options)))
    draw = np.random.default_rng(0)
    return graph, jax.tree.map(lambda x: jnp.float32(0.5 * draw.standard_normal(x.shape)), shapes)


def value_and_gradient(config: ModelConfig, **options: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """Logits, and the gradient of a sum that every logit and every scalar enters."""
    graph, params = split(config, **options)

    def total(params: Any) -> tuple[jax.Array, jax.Array]:
        model = nnx.merge(graph, params)
        features, aux = model.features(TOKENS)
        logits = jnp.matmul(features, model.unembedding(), preferred_element_type=jnp.float32)
        return jnp.sum(jnp.sin(logits)) + sum(aux.values()), logits

    quickly = {"xla_backend_optimization_level": 0}  # of compiling, which is what takes the time here
    gradient, logits = jax.jit(jax.grad(total, has_aux=True), compiler_options=quickly)(params)
    return np.asarray(logits), [np.asarray(leaf) for leaf in jax.tree.leaves(gradient)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_features_times_unembedding_are_the_logits(config: ModelConfig, dtype: str) -> None:
    graph, params = split(config, dtype=dtype)

    def both(params: Any) -> Any:
        model = nnx.merge(graph, params)
        return *model.features(TOKENS), model.unembedding(), model(TOKENS)

    features, aux, matrix, logits = jax.jit(both)(params)
    assert features.shape == (2, 10, 8)
    assert matrix.shape == (8, 40)
    assert features.dtype == matrix.dtype == jnp.dtype(dtype)
    assert logits.dtype == jnp.float32
    wide = features.astype(jnp.float32) @ matrix.astype(jnp.float32)
    np.testing.assert_allclose(logits, wide, rtol=1e-5, atol=1e-5)
    assert all(scalar.shape == () and scalar.dtype == jnp.float32 for scalar in aux.values())


def test_recomputing_changes_no_result(config: ModelConfig) -> None:
    logits, gradient = value_and_gradient(config)
    for remat in ("block", "dots"):
        again, recomputed = value_and_gradient(config, remat=remat)
        np.testing.assert_array_equal(logits, again)
        for a, b in zip(gradient, recomputed, strict=True):
            assert np.abs(a).max() > 0
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6 * np.abs(a).max())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dtype": "float7"}, "unknown dtype 'float7': choose one of float32, bfloat16"),
        ({"remat": "all"}, "unknown remat 'all': choose one of none, dots, block"),
    ],
)
def test_an_unknown_option_is_answered_with_the_known_ones(wrong: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(small_model(), seed=0, **wrong)
