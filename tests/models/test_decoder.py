"""What the decoder must and must not see."""

from __future__ import annotations

from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isoflop.models import ModelConfig, build
from isoflop.models.attention import rotary_angles, rotate
from isoflop.models.config import Dtype
from isoflop.models.layers import CausalConvolution, RMSNorm
from tests.support import numpy_model
from tests.support.small import small_model

SHAPES: dict[str, dict[str, Any]] = {
    "swiglu": {},
    "grouped": {"heads": 4, "kv_heads": 2, "head_dim": 2, "mlp": "relu2", "tie_embeddings": True},
    "experts": {"experts": 3, "experts_per_token": 2, "capacity_factor": 0.7},
}


@pytest.fixture(params=SHAPES.values(), ids=list(SHAPES))
def config(request: pytest.FixtureRequest) -> ModelConfig:
    """Two shapes of 9 tokens of context."""
    return small_model(8, **{"depth": 2, "context_length": 9, **request.param})


def noisy(config: ModelConfig, dtype: Dtype = "float32") -> Any:
    """A model whose parameters are all noise, so that every path carries something."""
    graph, shapes = nnx.split(nnx.eval_shape(lambda: build(config, seed=0, dtype=dtype)))
    draw = np.random.default_rng(0)
    return nnx.merge(graph, jax.tree.map(lambda x: jnp.float32(0.5 * draw.standard_normal(x.shape)), shapes))


def influence(config: ModelConfig) -> np.ndarray:
    """How much each position's embedding moves each position's logits (T outputs, T inputs)."""
    model = noisy(config)

    def logits(x_TxD: jax.Array) -> jax.Array:
        x = x_TxD[None]
        for block in model.blocks:
            x, _ = block(x)
        return (model.final_norm(x) @ model.unembedding())[0]

    jacobian = jax.jit(jax.jacrev(logits))(model.embedding[...][: config.context_length])
    return np.abs(np.asarray(jacobian)).sum(axis=(1, 3))


def test_logits_depend_on_no_later_token_and_on_every_earlier_one(config: ModelConfig) -> None:
    moved = influence(config)
    T = config.context_length
    assert np.all(moved[np.triu_indices(T, 1)] == 0.0)
    assert np.all(moved[np.tril_indices(T)] > 0.0)


def test_changing_a_token_changes_nothing_before_it(config: ModelConfig) -> None:
    model = jax.jit(noisy(config).__call__)
    tokens = np.arange(9)[None]
    changed = tokens.copy()
    changed[0, 5] = 100
    before, after = np.asarray(model(tokens))[0], np.asarray(model(changed))[0]
    assert np.array_equal(before[:5], after[:5])
    assert all(not np.allclose(before[t], after[t]) for t in range(5, 9))


@pytest.mark.parametrize("shift", [1, 17])
def test_rotated_products_depend_on_the_distance_alone(shift: int) -> None:
    T, C = 8, 6
    q, k = jax.random.normal(jax.random.key(0), (2, 1, T, 1, C))
    angles = rotary_angles(T + shift, C, 10_000.0)

    @jax.jit
    def scores(a: jax.Array) -> jax.Array:
        """Products of every rotated query with every rotated key (T, T), all of one q and one k."""
        same_q, same_k = (jnp.broadcast_to(x[:, :1], x.shape) for x in (q, k))
        return jnp.einsum("bthc,bshc->ts", rotate(same_q, a), rotate(same_k, a))

    near, far = scores(angles[:T]), scores(angles[shift:])
    np.testing.assert_allclose(near, far, atol=1e-4)
    by_distance = [np.ptp(np.diagonal(near, d)) for d in range(1 - T, T)]
    assert max(by_distance) < 1e-4
    assert np.ptp(near) > 0.1


def test_rotation_keeps_lengths_and_leaves_the_first_position() -> None:
    x = jax.random.normal(jax.random.key(0), (2, 5, 3, 8))
    turned = jax.jit(rotate)(x, rotary_angles(5, 8, 10_000.0))
    np.testing.assert_allclose(jnp.linalg.norm(turned, axis=-1), jnp.linalg.norm(x, axis=-1), rtol=1e-5)
    np.testing.assert_array_equal(turned[:, 0], x[:, 0])


@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_convolution_starts_as_none(length: int) -> None:
    x = jax.random.normal(jax.random.key(0), (2, 9, 6))
    np.testing.assert_array_equal(CausalConvolution(length, 6)(x), x)


@pytest.mark.parametrize("packed", [False, True], ids=["whole", "documents"])
@pytest.mark.parametrize("length", [2, 4, 12])
def test_a_convolution_adds_each_earlier_tokens_share_within_its_document(length: int, packed: bool) -> None:
    """Also where it is longer than the window."""
    draw = np.random.default_rng(0)
    x, taps = draw.standard_normal((2, 9, 6)), draw.standard_normal((length - 1, 6))
    numbers = np.array([[0, 0, 1, 1, 1, 2, 3, 3, 3], [0] * 9])
    convolution = CausalConvolution(length, 6)
    assert convolution.taps is not None
    convolution.taps[...] = jnp.asarray(taps, jnp.float32)
    found = convolution(jnp.asarray(x, jnp.float32), jnp.asarray(numbers) if packed else None)
    for window, own, document in zip(np.asarray(found), x, numbers, strict=True):
        expected = own + numpy_model.previous(own, taps, document.tolist() if packed else [0] * 9)
        np.testing.assert_allclose(window, expected, rtol=1e-5, atol=1e-5)


def test_normalized_features_have_unit_mean_square() -> None:
    x = 100 * jax.random.normal(jax.random.key(0), (4, 64))
    y = RMSNorm(64, 1e-6)(x)
    np.testing.assert_allclose(jnp.mean(y * y, axis=-1), 1.0, rtol=1e-5)


def test_a_tied_head_reads_the_embedding() -> None:
    untied, tied = (noisy(small_model(8, tie_embeddings=t)) for t in (False, True))
    assert hasattr(untied, "head")
    assert not hasattr(tied, "head")


def test_the_branch_scale_multiplies_what_each_branch_adds() -> None:
    """As if its output projection were that much smaller."""
    scaled, plain = (noisy(small_model(8, depth=2, branch_scale=s)) for s in (0.25, 1.0))
    for block in plain.blocks:
        for kernel in (block.attention.out.kernel, block.mlp.down.kernel):
            kernel[...] = 0.25 * kernel[...]
    tokens = np.arange(9)[None]
    a, b = (jax.jit(model.__call__)(tokens) for model in (scaled, plain))
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_bfloat16_stays_near_float32(config: ModelConfig) -> None:
    tokens = np.arange(18).reshape(2, 9)
    wide, narrow = (np.asarray(jax.jit(noisy(config, d).__call__)(tokens)) for d in get_args(Dtype))
    assert narrow.dtype == np.float32
    error = np.sqrt(np.mean((narrow - wide) ** 2)) / wide.std()
    assert 0 < error < 0.1
