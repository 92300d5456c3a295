"""The experts against a token-by-token account, and what they owe to causality and to the dense layer."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isoflop.models import ModelConfig, build, ledger
from isoflop.models.experts import Experts, balance_loss, capacity, choose, slots
from isoflop.models.layers import FeedForward
from tests.support.small import small_model

B, T, D = 2, 12, 8

SHAPES: dict[str, dict[str, Any]] = {
    "one-of-three": {"experts": 3, "capacity_factor": 0.5},
    "two-of-four": {"experts": 4, "experts_per_token": 2, "capacity_factor": 0.7, "mlp": "gelu"},
    "four-of-six-narrow": {"experts": 3, "experts_per_token": 2, "granularity": 2, "capacity_factor": 0.7},
    "three-of-three-roomy": {"experts": 3, "experts_per_token": 3},
}


def moe(**overrides: Any) -> ModelConfig:
    """Width 8, 12 tokens."""
    return small_model(D, **{"context_length": T, "depth": 2} | overrides)


def noisy(layer: Any) -> Any:
    """The layer with noise for every parameter: the output projection starts at zero."""
    graph, params = nnx.split(layer)
    draw = np.random.default_rng(1)
    return nnx.merge(graph, jax.tree.map(lambda p: jnp.float32(0.5 * draw.standard_normal(p.shape)), params))


def layer_of(config: ModelConfig, dtype: Any = "float32") -> Experts:
    """A noisy layer."""
    return noisy(Experts(config, dtype=dtype, rngs=nnx.Rngs(0)))


def inputs() -> jax.Array:
    """Normed features (B, T, D)."""
    return jnp.asarray(np.random.default_rng(3).standard_normal((B, T, D)), jnp.float32)


@pytest.fixture(params=SHAPES.values(), ids=list(SHAPES))
def config(request: pytest.FixtureRequest) -> ModelConfig:
    """Shapes that drop some assignments, and one that can't."""
    return moe(**request.param)


def each_alone(layer: Experts, config: ModelConfig, x_BxTxD: jax.Array) -> np.ndarray:
    """What every expert, as a dense layer of its own, makes of every token (E, B, T, D)."""
    graph, _ = nnx.split(FeedForward(config, dtype="float32", rngs=nnx.Rngs(0)))
    dense = jax.jit(lambda params: nnx.merge(graph, params)(x_BxTxD))
    stacked = nnx.state(layer.experts)
    return np.stack([dense(jax.tree.map(lambda p, e=e: p[e], stacked)) for e in range(config.routed)])


def by_hand(layer: Experts, config: ModelConfig, x_BxTxD: jax.Array) -> tuple[np.ndarray, float]:
    """Output and dropped share: windows, tokens and choices one at a time."""
    logits = np.asarray(x_BxTxD, np.float64) @ np.asarray(layer.router.kernel[...], np.float64)
    p_BxTxE = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    made, out, dropped = each_alone(layer, config, x_BxTxD), np.zeros(x_BxTxD.shape), 0
    for b in range(B):
        room = np.full(config.routed, capacity(config, T))
        for t in range(T):
            p = p_BxTxE[b, t]
            chosen = np.argsort(-p)[: config.visited]
            scale = p[chosen].sum() if len(chosen) > 1 else 1.0
            for e in chosen:
                out[b, t] += (room[e] > 0) * p[e] / scale * made[e, b, t]
                dropped += int(room[e] == 0)
                room[e] = max(room[e] - 1, 0)
    return out, dropped / (B * T * config.visited)


def test_the_layer_is_its_account(config: ModelConfig) -> None:
    layer, x = layer_of(config), inputs()
    out, auxiliary = jax.jit(layer.__call__)(x)
    expected, dropped = by_hand(layer, config, x)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)
    assert auxiliary["dropped"] == pytest.approx(dropped)
    assert (dropped > 0) == (config.capacity_factor < 1)


def test_a_token_is_moved_by_no_later_one(config: ModelConfig) -> None:
    """Exactly: neither through a gradient nor by taking its place."""
    layer, x, other = jax.jit(layer_of(config).__call__), np.asarray(inputs()), np.asarray(inputs()[::-1])
    for t in range(1, T):
        changed = np.concatenate([x[:, :t], other[:, t:]], axis=1)
        np.testing.assert_array_equal(layer(x)[0][:, :t], layer(changed)[0][:, :t])


def test_a_window_does_not_see_its_batch(config: ModelConfig) -> None:
    layer, x = jax.jit(layer_of(config).__call__), inputs()
    alone = jnp.concatenate([layer(x[:1])[0], layer(x[1:])[0]])
    np.testing.assert_allclose(layer(x)[0], alone, rtol=1e-5, atol=1e-6)


def test_bfloat16_stays_near_float32(config: ModelConfig) -> None:
    """The router sees the same numbers in both, and so chooses the same experts."""
    x = inputs().astype(jnp.bfloat16)
    wide, auxiliary = jax.jit(layer_of(config).__call__)(x.astype(jnp.float32))
    narrow, narrow_auxiliary = jax.jit(layer_of(config, "bfloat16").__call__)(x)
    assert narrow.dtype == jnp.bfloat16
    assert auxiliary == narrow_auxiliary
    assert 0 < np.sqrt(np.mean((narrow - wide) ** 2)) / np.std(wide) < 0.02


def test_members_of_a_vmap_are_as_alone() -> None:
    config, x = moe(**SHAPES["two-of-four"]), inputs()
    graph, params = nnx.split(layer_of(config))
    members = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), params)

    def gradient(params: Any) -> Any:
        return jax.grad(lambda p: jnp.sum(nnx.merge(graph, p)(x)[0] ** 2))(params)

    together = jax.jit(jax.vmap(gradient))(members)
    for i in range(2):
        alone = jax.jit(gradient)(jax.tree.map(lambda p, i=i: p[i], members))
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-4), together, alone
        )


@pytest.mark.parametrize("count", [1, 2])
def test_identical_experts_are_the_dense_layer(count: int) -> None:
    """With one expert a token, times the router's probability."""
    config = moe(experts=4, experts_per_token=count, capacity_factor=4.0)
    layer, x = layer_of(config), inputs()
    dense = FeedForward(config, dtype="float32", rngs=nnx.Rngs(0))
    for part in ("up", "down"):
        kernel = getattr(layer.experts, part).kernel
        kernel[...] = jnp.broadcast_to(kernel[...][:1], kernel.shape)
        getattr(dense, part).kernel[...] = kernel[...][0]
    probability = jax.nn.softmax(layer.router(x)).max(-1, keepdims=True)
    expected = jax.jit(dense.__call__)(x) * (probability if count == 1 else 1.0)
    np.testing.assert_allclose(jax.jit(layer.__call__)(x)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2])
def test_the_router_learns_from_the_output(count: int) -> None:
    graph, params = nnx.split(layer_of(moe(experts=4, experts_per_token=count)))
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(nnx.merge(graph, p)(inputs())[0] ** 2)))(params)
    assert np.all(np.abs(gradient["router"]["kernel"][...]).sum(axis=0) > 0)


@pytest.mark.parametrize(("experts", "count", "room"), [(1, 1, 3), (4, 1, 2), (4, 2, 3), (5, 5, 4)])
def test_slots_are_first_come_first_served(experts: int, count: int, room: int) -> None:
    draw = np.random.default_rng(0)
    windows = np.array([[draw.permutation(experts)[:count] for _ in range(6)] for _ in range(50)])
    rows = jax.jit(jax.vmap(lambda chosen: slots(chosen, experts, room)))(windows)
    for chosen, row in zip(windows, np.asarray(rows), strict=True):
        taken = [0] * experts
        for e, r in zip(chosen.ravel(), row.ravel(), strict=True):
            assert (r == e * room + taken[e]) if taken[e] < room else (r >= experts * room)
            taken[e] += 1
        assert len(set(row.ravel())) == row.size


def test_the_balance_loss_is_one_where_balanced_and_the_number_of_experts_where_not() -> None:
    even = jnp.full((1, 4, 4), 0.25)
    assert balance_loss(even, jnp.arange(4).reshape(1, 4, 1)) == 1.0
    one_hot = jnp.zeros((1, 4, 4)).at[..., 2].set(1.0)
    assert balance_loss(one_hot, jnp.full((1, 4, 1), 2)) == 4.0


def test_a_fresh_models_routers_are_near_balance() -> None:
    def start() -> dict[str, jax.Array]:
        model: Any = build(moe(experts=4, experts_per_token=2), seed=0)
        return model.features(np.arange(B * T).reshape(B, T))[1]

    auxiliary = jax.jit(start)()
    assert set(auxiliary) == {"balance_loss", "router_z", "dropped"}
    assert auxiliary["balance_loss"] == pytest.approx(1.0, abs=0.05)
    assert auxiliary["router_z"] == pytest.approx(np.log(4) ** 2, rel=0.05)


@pytest.mark.parametrize(
    ("factor", "length", "count", "expected"),
    [
        (1.0, 12, 1, 3),
        (1.25, 12, 1, 4),
        (1.1, 40, 1, 11),
        (1.25, 12, 2, 8),
        (9.0, 12, 2, 12),
        (0.01, 12, 1, 1),
    ],
)
def test_capacity(factor: float, length: int, count: int, expected: int) -> None:
    assert capacity(moe(experts=4, experts_per_token=count, capacity_factor=factor), length) == expected


def test_weights_of_several_sum_to_one_and_a_single_one_is_its_probability() -> None:
    p = jax.nn.softmax(jax.random.normal(jax.random.key(0), (5, 4)))
    single, _ = choose(p, 1)
    pair, _ = choose(p, 2)
    np.testing.assert_array_equal(single[:, 0], p.max(-1))
    np.testing.assert_allclose(pair.sum(-1), 1.0, rtol=1e-6)


def test_active_parameters_are_the_dense_ones_and_the_router() -> None:
    dense, sparse = ledger(moe()), ledger(moe(experts=4))
    router = 2 * D * 4
    for count in ("total", "non_embedding", "body"):
        assert sparse.params(count, active=True) == dense.params(count) + router
        assert sparse.params(count) == dense.params(count) + router + 3 * dense.parameters["mlp"]
    assert sparse.params_active == sparse.params("total", active=True)
    assert dense.params_active == dense.params("total")
    assert sparse.forward_flops == dense.forward_flops + 2 * router
