"""The cross-entropy made in stretches against the one made whole, and against the definition."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isoflop.train import loss
from isoflop.train.loss import mean_loss, token_losses, token_scores

B, T, D, V = 3, 16, 8, 50


@pytest.fixture(params=["float32", "bfloat16"])
def inputs(request: pytest.FixtureRequest) -> tuple[Any, Any, Any]:
    """Features (B, T, D) and a head (D, V) of one dtype, and targets (B, T)."""
    draw = np.random.default_rng(0)
    x, head = draw.standard_normal((B, T, D)), draw.standard_normal((D, V))
    targets = jnp.asarray(draw.integers(0, V, (B, T)))
    return jnp.asarray(x, request.param), jnp.asarray(head, request.param), targets


def in_stretches(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets just so many logits exist at a time."""
    monkeypatch.setattr(loss, "LOGITS_BYTES", 4 * B * T * V // count)


def test_a_loss_is_the_negative_log_probability(inputs: tuple[Any, Any, Any]) -> None:
    x, head, targets = inputs
    logits = np.asarray(x, np.float64) @ np.asarray(head, np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = -np.take_along_axis(log_p, np.asarray(targets)[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(token_losses(x, head, targets), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("count", [2, 8, 16])
def test_stretches_give_the_losses_of_the_whole(
    count: int, inputs: tuple[Any, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = token_losses(*inputs)
    in_stretches(count, monkeypatch)
    np.testing.assert_allclose(token_losses(*inputs), whole, rtol=1e-6)
    np.testing.assert_allclose(mean_loss(*inputs), whole.mean(), rtol=1e-6)


def test_a_token_is_correct_whose_logit_is_above_all_others(
    inputs: tuple[Any, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, head, _ = inputs
    best = jnp.argmax(x.astype(jnp.float32) @ head.astype(jnp.float32), axis=-1)
    targets = jnp.where(jnp.arange(T) % 4 == 0, (best + 1) % V, best)
    expected = np.broadcast_to(np.arange(T) % 4 != 0, (B, T))
    np.testing.assert_array_equal(token_scores(x, head, targets).correct, expected)
    in_stretches(8, monkeypatch)
    np.testing.assert_array_equal(token_scores(x, head, targets).correct, expected)
    assert not np.any(token_scores(x, jnp.zeros_like(head), targets).correct)  # nobody is above the others


@pytest.mark.parametrize("count", [2, 16])
def test_stretches_give_the_gradients_of_the_whole(
    count: int, inputs: tuple[Any, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, head, targets = inputs
    twice = lambda x, head: 2 * mean_loss(x, head, targets)  # noqa: E731  # the chain rule has something to do
    whole = jax.grad(twice, argnums=(0, 1))(x, head)
    in_stretches(count, monkeypatch)
    jaxpr = str(jax.make_jaxpr(jax.grad(twice, argnums=(0, 1)))(x, head))
    assert f"[{B},{T},{V}]" not in jaxpr
    assert f"[{B},{T // count},{V}]" in jaxpr
    tolerance = 1e-5 if x.dtype == jnp.float32 else 2e-2
    for part, expected in zip(jax.grad(twice, argnums=(0, 1))(x, head), whole, strict=True):
        assert part.dtype == expected.dtype
        scale = float(jnp.abs(expected.astype(jnp.float32)).max())
        np.testing.assert_allclose(
            part.astype(jnp.float32), expected.astype(jnp.float32), atol=tolerance * scale
        )


def test_a_time_that_can_not_be_halved_is_taken_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "LOGITS_BYTES", 1)
    x, head = jnp.ones((1, 3, 2)), jnp.zeros((2, 5))
    np.testing.assert_allclose(mean_loss(x, head, jnp.zeros((1, 3), int)), np.log(5), rtol=1e-6)
