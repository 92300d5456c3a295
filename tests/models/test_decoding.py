"""Decoding with a cache against the forward pass over the whole sequence, and what it chooses."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isoflop.base.errors import UserError
from isoflop.models import ModelConfig, build
from isoflop.models.decoding import Decoded, Sampling, decode
from tests.support.small import small_model

CONTEXT, VOCABULARY = 14, 40
LENGTHS = (1, 6, 4)
"""Of the prompts of one batch."""

SHAPES: dict[str, dict[str, Any]] = {
    "dense": {},
    "deep-gelu": {"depth": 3, "mlp": "gelu", "branch_scale": 0.5, "rope_base": 50.0},
    "tied-documents": {"tie_embeddings": True, "document_separator": 3, "kv_convolution": 4},
    "grouped": {"heads": 4, "kv_heads": 2, "head_dim": 2, "mlp": "relu2", "kv_convolution": 1},
    "one-of-three-experts": {"experts": 3, "capacity_factor": 0.4},
    "two-of-four-experts": {"experts": 4, "experts_per_token": 2, "document_separator": 3},
    "recurrence": {"architecture": "gated_recurrence", "kv_convolution": 1},
    "recurrence-documents": {
        "architecture": "gated_recurrence",
        "experts": 2,
        "granularity": 2,
        "document_separator": 3,
        "kv_convolution": 4,
    },
}


@cache
def parts(name: str, dtype: Any = "float32") -> tuple[nnx.GraphDef[Any], Any, ModelConfig]:
    """A model whose parameters are all noise, so that every path carries something, in two parts."""
    config = small_model(8, vocab_size=VOCABULARY, context_length=CONTEXT, **SHAPES[name])
    graph, shapes = nnx.split(nnx.eval_shape(lambda: build(config, seed=0, dtype=dtype)))
    draw = np.random.default_rng(0)
    return graph, jax.tree.map(lambda x: jnp.float32(0.5 * draw.standard_normal(x.shape)), shapes), config


def sequences() -> np.ndarray:
    """Three sequences (3, CONTEXT), with document separators (3) within and at the edge of prompts."""
    tokens = np.random.default_rng(1).integers(4, VOCABULARY, (3, CONTEXT))
    tokens[0, 7] = tokens[1, 5] = tokens[2, 2] = tokens[2, 3] = 3
    return tokens.astype(np.int32)


# An expert chosen by features in bfloat16 may be another: rounding would decide.
CASES = [*((name, "float32") for name in SHAPES), ("deep-gelu", "bfloat16"), ("tied-documents", "bfloat16")]


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_a_cache_gives_the_logits_of_the_whole_pass(name: str, dtype: str) -> None:
    """Prompts of unlike length, then one token a step to the end of the longest one's context."""
    graph, params, _ = parts(name, dtype)
    tokens, count, longest = jnp.asarray(sequences()), jnp.array(LENGTHS), max(LENGTHS)
    steps = CONTEXT - longest

    def both(params: Any) -> tuple[jax.Array, jax.Array]:
        model = nnx.merge(graph, params)
        prompts = jnp.where(jnp.arange(longest) < count[:, None], tokens[:, :longest], 9)
        features, kept = model.extend(prompts, count, model.empty_cache(3, CONTEXT))
        first = features[jnp.arange(3), count - 1]

        def one(kept: Any, step: jax.Array) -> tuple[Any, jax.Array]:
            here = tokens[jnp.arange(3), count + step]
            features, kept = model.extend(here[:, None], jnp.ones(3, jnp.int32), kept)
            return kept, features[:, 0]

        _, later = jax.lax.scan(one, kept, jnp.arange(steps))
        found = jnp.concatenate([first[:, None], jnp.swapaxes(later, 0, 1)], axis=1)
        return (found @ model.unembedding()).astype(jnp.float32), model(tokens)

    quickly = {"xla_backend_optimization_level": 0}  # of compiling, which is what takes the time here
    cached, whole = (np.asarray(x) for x in jax.jit(both, compiler_options=quickly)(params))
    expected = np.stack([row[n - 1 : n + steps] for row, n in zip(whole, LENGTHS, strict=True)])
    tolerance = 2e-5 if dtype == "float32" else 4e-2
    np.testing.assert_allclose(cached, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def greedily(name: str, prompts: list[list[int]], count: int) -> np.ndarray:
    """The likeliest tokens, each by a pass over all before it."""
    graph, params, config = parts(name)
    run = jax.jit(lambda params, tokens: nnx.merge(graph, params)(tokens))
    rows = []
    for prompt in prompts:
        tokens = list(prompt)
        for _ in range(count):
            window = np.zeros((1, config.context_length), np.int32)
            window[0, : len(tokens)] = tokens
            tokens.append(int(np.argmax(run(params, window)[0, len(tokens) - 1])))
        rows.append(tokens[len(prompt) :])
    return np.array(rows)


PROMPTS = [row[:length].tolist() for row, length in zip(sequences(), LENGTHS, strict=True)]


def decoded(count: int = 8, **sampling: Any) -> Decoded:
    """Of the dense model."""
    graph, params, _ = parts("dense")
    return decode(graph, params, PROMPTS, count, Sampling(**sampling))


@pytest.mark.parametrize("name", ["dense", "one-of-three-experts"])
def test_at_temperature_0_each_token_is_the_likeliest(name: str) -> None:
    graph, params, _ = parts(name)
    made = decode(graph, params, PROMPTS, 8, Sampling(temperature=0))
    np.testing.assert_array_equal(made.tokens_BxN, greedily(name, PROMPTS, 8))


def test_a_seed_gives_the_same_tokens_and_another_seed_others() -> None:
    first, again, other = decoded(seed=1), decoded(seed=1), decoded(seed=2)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first.tokens_BxN != other.tokens_BxN).any()


def test_sampled_tokens_follow_the_distribution() -> None:
    """First tokens after one prompt, at a temperature, against its softmax."""
    graph, params, _ = parts("dense")
    prompt, many, temperature = PROMPTS[1], 1000, 2.0
    made = decode(graph, params, [prompt] * many, 1, Sampling(temperature=temperature, top_k=5, seed=7))
    logits = np.asarray(jax.jit(nnx.merge(graph, params))(jnp.array([prompt])))[0, -1]
    kept = np.argsort(logits)[-5:]
    expected = np.exp((logits - logits.max()) / temperature)[kept]
    expected /= expected.sum()
    share = np.bincount(made.tokens_BxN[:, 0], minlength=VOCABULARY) / many
    assert share[kept].sum() == pytest.approx(1)
    assert np.abs(share[kept] - expected).max() < 4 * np.sqrt(0.25 / many)
    own = logits - np.log(np.sum(np.exp(logits - logits.max()))) - logits.max()
    np.testing.assert_allclose(made.log_probabilities_BxN[:, 0], own[made.tokens_BxN[:, 0]], atol=1e-4)


def test_a_sequence_ends_at_the_stop_token() -> None:
    graph, params, _ = parts("dense")
    free = decoded(temperature=0).tokens_BxN
    stop = int(free[1, 2])
    made = decode(graph, params, PROMPTS, 8, Sampling(temperature=0), stop=stop)
    for row, unstopped, log in zip(made.tokens_BxN, free, made.log_probabilities_BxN, strict=True):
        ends = [*np.flatnonzero(unstopped == stop), 8][0]
        np.testing.assert_array_equal(row[: ends + 1], unstopped[: ends + 1])
        assert (row[ends:] == stop).all()
        assert (log[ends + 1 :] == 0).all()


@pytest.mark.parametrize(
    ("prompts", "count", "message"),
    [
        ([[1], []], 2, "a prompt is empty: give each at least one token"),
        ([[1, 40]], 2, "a prompt has the token 40: the vocabulary is 0 to 39"),
        ([[1] * 10], 5, "5 tokens after a prompt of 10 are 15, and the model's context is 14: shorten"),
    ],
)
def test_what_cannot_be_decoded_is_refused(prompts: Any, count: int, message: str) -> None:
    graph, params, _ = parts("dense")
    with pytest.raises(UserError, match=message):
        decode(graph, params, prompts, count)


def test_an_architecture_without_decoding_is_refused_in_one_line(tmp_path: Path) -> None:
    own = tmp_path / "mine.py"
    own.write_text(
        "from flax import nnx\nfrom isoflop.models import decoder\n"
        "from isoflop.models.decoder import ledger\n"
        "class Model(nnx.Module):\n"
        "    def __init__(self, config, *, dtype, remat, rngs):\n"
        "        self.config, self.inner = config, decoder.Model(config, dtype=dtype, rngs=rngs)\n"
        "    def features(self, tokens):\n        return self.inner.features(tokens)\n"
        "    def unembedding(self):\n        return self.inner.unembedding()\n"
    )
    config = small_model(8, context_length=8, architecture=str(own))
    graph, params = nnx.split(nnx.eval_shape(lambda: build(config, seed=0)))
    with pytest.raises(UserError, match=r"architecture mine\.py@\w+ can't decode: its Model has no empty"):
        decode(graph, params, [[1]], 2)
