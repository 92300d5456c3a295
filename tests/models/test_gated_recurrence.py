"""The gated recurrence: its scan and gradient, its ledger, what it keeps of a document, what it refuses."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isoflop.base.errors import UserError
from isoflop.models import ModelConfig, build, ledger
from isoflop.models.gated_recurrence import GatedRecurrence
from isoflop.models.ledger import BACKWARD_OVER_FORWARD
from isoflop.models.linear_recurrence import Scan, linear_recurrence
from tests.support.small import small_model
from tests.support.step_products import BATCH, abstract_params, dot_flops, mean_loss, size_of


def recurrent(**overrides: Any) -> ModelConfig:
    """Of width 8, with a vocabulary of 40 and windows of 10 tokens."""
    shape = {"vocab_size": 40, "context_length": 10, "architecture": "gated_recurrence"}
    return small_model(8, **shape | overrides)


def split(config: ModelConfig) -> tuple[Any, Any]:
    """The model's graph, and the shapes of its parameters."""
    return nnx.split(nnx.eval_shape(lambda: build(config, seed=0)))


@pytest.mark.parametrize("scan", ["steps", "tree"])
@pytest.mark.parametrize("length", [1, 11])
def test_the_scan_and_its_gradient_are_those_of_the_sum_written_out(scan: Scan, length: int) -> None:
    """h_t is the sum over s of b_s times the product of a from s + 1 to t."""
    draw = np.random.default_rng(0)
    a, b, dh = (draw.uniform(0.1, 1.0, (2, length, 3)).astype(np.float32) for _ in range(3))
    h, pull = jax.vjp(partial(linear_recurrence, scan=scan), a, b)
    expected, da, db = np.zeros_like(h), np.zeros_like(a), np.zeros_like(b)
    for t in range(length):
        for s in range(t + 1):
            decayed = a[:, s + 1 : t + 1].prod(axis=1)
            expected[:, t] += b[:, s] * decayed
            db[:, s] += dh[:, t] * decayed
            for r in range(s + 1, t + 1):
                da[:, r] += dh[:, t] * b[:, s] * decayed / a[:, r]
    for found, wanted in zip((h, *pull(jnp.asarray(dh))), (expected, da, db), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_decay_of_one_or_zero_has_a_finite_gradient() -> None:
    layer = GatedRecurrence(recurrent(), dtype="float32", rngs=nnx.Rngs(0))

    def total(z: jax.Array) -> jax.Array:
        taken_BxTxF = jnp.concatenate([jnp.ones((1, 2, 8)), jnp.full((1, 2, 8), z)], axis=-1)
        return sum(jnp.sum(x) for x in layer._steps(taken_BxTxF, None))  # pyright: ignore[reportReturnType]  # not 0

    for z in (-200.0, 200.0):
        assert np.isfinite(jax.grad(total)(z))


@pytest.mark.parametrize(
    "overrides",
    [{}, {"kv_convolution": 4, "depth": 2, "tie_embeddings": True}, {"kv_convolution": 1, "mlp": "gelu"}],
)
def test_the_ledger_is_the_tree_and_the_products_of_a_step(overrides: dict[str, Any]) -> None:
    """All but those of the convolution and the recurrence, which are no matrix products."""
    config = recurrent(**overrides)
    params, counted = abstract_params(config), ledger(config)
    layers = [params["blocks"][i]["recurrence"] for i in range(config.depth)]
    for name in ("read", "out", "decay_bias", *(["convolution"] if config.kv_convolution > 1 else [])):
        assert counted.parameters[name] == size_of([layer[name] for layer in layers]) > 0
    assert sum(counted.parameters.values()) == size_of(params)
    graph, shapes = split(config)
    tokens = jax.ShapeDtypeStruct((BATCH, config.context_length + 1), jnp.int32)
    text = jax.jit(jax.value_and_grad(partial(mean_loss, graph))).lower(shapes, tokens).as_text()
    others = counted.forward["convolution"] + counted.forward["recurrence"]
    products = counted.train_flops - (1 + BACKWARD_OVER_FORWARD) * others
    assert dot_flops(text) == BATCH * config.context_length * products


def test_the_flops_of_a_token_by_hand_whatever_the_context() -> None:
    counted = ledger(recurrent(depth=1))
    matrices, taps = 4 * 8 * 8 + 3 * 8 * 24, 2 * 8
    assert counted.forward_flops == 2 * (matrices + taps + 8 + 8 * 40)
    assert counted.causal_half == 0
    assert ledger(recurrent(depth=1, context_length=1000)).forward == counted.forward


def test_no_state_crosses_a_document() -> None:
    tokens = np.random.default_rng(0).integers(4, 40, (2, 10))
    tokens[:, 4] = 3
    tokens[1, 5:] = tokens[0, 5:]
    for separator, same in ((3, True), (None, False)):
        graph, shapes = nnx.split(
            nnx.eval_shape(
                lambda s=separator: build(recurrent(document_separator=s, kv_convolution=4), seed=0)
            )
        )
        draw = np.random.default_rng(1)
        params = jax.tree.map(lambda x, d=draw: jnp.float32(d.standard_normal(x.shape)), shapes)
        logits = np.asarray(nnx.merge(graph, params)(tokens))
        assert (logits[0, :4] != logits[1, :4]).any()
        assert np.allclose(logits[0, 5:], logits[1, 5:], rtol=1e-6, atol=0) == same


@pytest.mark.parametrize("option", [{"rope_base": 50.0}, {"max_attention_logit": 4.0}])
def test_an_option_of_attention_is_refused(option: dict[str, float]) -> None:
    (name,) = option
    with pytest.raises(
        UserError, match=rf"model.{name} \S+: gated_recurrence has no attention: leave it out"
    ):
        ledger(recurrent(**option))
