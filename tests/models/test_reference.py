"""The decoder and the gradient of its loss against another implementation of the same function."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from isoflop.models import ModelConfig, build
from isoflop.train.step import objective
from tests.support import numpy_model
from tests.support.examples import examples
from tests.support.small import small_model

T, VOCAB = 8, 20
STEP = 1e-5
QUICKLY = {"xla_backend_optimization_level": 0}
"""Compiling is what takes the time here."""


@st.composite
def configs(draw: st.DrawFn, most_experts: int = 4) -> ModelConfig:
    """Shapes of width 8 in which no assignment to an expert is dropped."""
    kv_heads, groups = draw(st.sampled_from([(1, 1), (1, 2), (2, 1), (1, 4), (2, 2)]))
    experts = draw(st.sampled_from([1, 1, most_experts]))
    return small_model(
        8,
        depth=draw(st.integers(1, 3)),
        heads=kv_heads * groups,
        kv_heads=kv_heads,
        head_dim=draw(st.sampled_from([2, 4])),
        mlp=draw(st.sampled_from(["swiglu", "gelu", "relu2"])),
        vocab_size=VOCAB,
        context_length=T,
        rope_base=draw(st.sampled_from([100.0, 10_000.0])),
        max_attention_logit=draw(st.sampled_from([8.0, 3.0])),
        kv_convolution=draw(st.sampled_from([1, 2, 4])),
        tie_embeddings=draw(st.booleans()),
        attention_bias=draw(st.booleans()),
        document_separator=draw(st.sampled_from([None, 0, 3])),
        branch_scale=draw(st.sampled_from([1.0, 0.5])),
        experts=experts,
        experts_per_token=draw(st.integers(1, min(2, experts))),
        capacity_factor=float(experts),
    )


def with_noise(config: ModelConfig, seed: int) -> tuple[Any, Any]:
    """The model's graph, and noise for every parameter, so that every path carries something."""
    graph, shapes = nnx.split(nnx.eval_shape(lambda: build(config, seed=0)))
    draw = np.random.default_rng(seed)
    return graph, jax.tree.map(lambda x: jnp.float32(0.5 * draw.standard_normal(x.shape)), shapes)


@settings(max_examples=examples(8))
@given(config=configs(), seed=st.integers(0, 1000))
def test_logits_are_those_of_plain_numpy(config: ModelConfig, seed: int) -> None:
    graph, params = with_noise(config, seed)
    # Few ids, so that the separator comes up.
    tokens = np.random.default_rng(seed).integers(0, 6, (2, T))
    model = jax.jit(lambda p: nnx.merge(graph, p)(tokens), compiler_options=QUICKLY)
    expected = [numpy_model.logits(config, numpy_model.named_parameters(params), row) for row in tokens]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(model(params), expected, rtol=0, atol=1e-5 * scale)


@settings(max_examples=examples(4))
@given(config=configs(most_experts=1), seed=st.integers(0, 1000))
def test_gradients_are_the_slopes_of_plain_numpy(config: ModelConfig, seed: int) -> None:
    """At one entry of each parameter, by central differences in double precision."""
    graph, params = with_noise(config, seed)
    draw = np.random.default_rng(seed)
    windows = draw.integers(0, 6, (2, T + 1))
    loss = partial(objective, graph=graph)
    value_and_gradient = jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=QUICKLY)
    (value, _), gradient = value_and_gradient(params, jnp.asarray(windows))
    exact, found = numpy_model.named_parameters(params), numpy_model.named_parameters(gradient)
    np.testing.assert_allclose(value, numpy_model.loss(config, exact, windows), rtol=1e-5)
    for name, array in exact.items():
        place = tuple(draw.integers(0, size) for size in array.shape)
        if name == "embedding":
            place = (windows[0, 0], place[1])
        beside = []
        for sign in (1, -1):
            moved = array.copy()
            moved[place] += sign * STEP
            beside.append(numpy_model.loss(config, {**exact, name: moved}, windows))
        slope = (beside[0] - beside[1]) / (2 * STEP)
        bound = 1e-4 * np.abs(found[name]).max() + 1e-7
        assert abs(found[name][place] - slope) <= bound, name
