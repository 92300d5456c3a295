"""Text from a model, token by token: prompts of unlike length in one batch, each read once into a cache.

One program is compiled for each shape: the model, the batch, the longest prompt and the number of new tokens.
Temperature and seed are data: others compile nothing. Shape suffixes as in
`isoflop.models.kv_cache`; P tokens of the longest prompt, V vocabulary, N new tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple, Protocol, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray
from pydantic import Field

from isoflop.base.errors import UserError
from isoflop.base.fields import NotNegative, check_fields


class Decoder(Protocol):
    """What decoding asks of an architecture's `Model`; `isoflop.models.decoder.Model` says what each does."""

    def empty_cache(self, batch: int, slots: int) -> Any:
        """The cache of `batch` sequences of at most `slots` tokens, before their first."""
        ...

    def extend(self, tokens_BxT: jax.Array, count_B: jax.Array, cache: Any) -> tuple[jax.Array, Any]:
        """Final-normed features (B, T, D) of tokens that go on from a cache, and the cache with theirs."""
        ...

    def unembedding(self) -> jax.Array:
        """The matrix (D, V) that makes logits of features."""
        ...


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen of the model's distribution."""

    temperature: NotNegative = 1.0
    """What logits are divided by; 0 takes the likeliest token, the first of several."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Only so many of the likeliest tokens can be chosen; 0 is all."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the random choice. The same seed, model and prompts give the same tokens, bit for bit."""

    def __post_init__(self) -> None:
        check_fields(self, "sampling.")


class Decoded(NamedTuple):
    """What was made of each prompt: `tokens_BxN`, and each one's log probability under the model itself,
    whatever the temperature (nats). After a stop token all is that token again, at log probability 0."""

    tokens_BxN: NDArray[np.int32]
    log_probabilities_BxN: NDArray[np.float32]


def decode(
    graph: nnx.GraphDef[Any],
    params: Any,
    prompts: Sequence[Sequence[int]],
    count: int,
    sampling: Sampling = Sampling(),
    *,
    stop: int | None = None,
) -> Decoded:
    """`count` tokens after each prompt, of a model split into `graph` and `params` by `nnx.split`.

    A sequence ends at the token `stop`, and the batch once all have ended. A sequence's random numbers are
    those of its place in the batch, and don't depend on the others.

    Raises `UserError` for an architecture without decoding, an empty prompt, a token that the vocabulary
    lacks, and a sequence longer than the model's context.
    """
    model: Any = nnx.eval_shape(lambda: nnx.merge(graph, params))
    refuse_without_decoding(model)
    config = model.config
    prompts_BxP, length_B = _padded(prompts, config.vocab_size)
    slots = prompts_BxP.shape[1] + count
    if slots > config.context_length:
        raise UserError(
            f"{count} tokens after a prompt of {prompts_BxP.shape[1]} are {slots}, and the model's context "
            f"is {config.context_length}: shorten the prompt, or ask for fewer"
        )
    if not 0 <= sampling.top_k <= config.vocab_size:
        raise UserError(f"top_k {sampling.top_k}: the vocabulary has {config.vocab_size} tokens")
    made = _decode(
        params,
        prompts_BxP,
        length_B,
        jax.random.key(sampling.seed),
        jnp.float32(sampling.temperature),
        jnp.int32(-1 if stop is None else stop),
        graph=graph,
        count=count,
        top_k=sampling.top_k,
    )
    return Decoded(*(np.asarray(x) for x in made))


def refuse_without_decoding(model: nnx.Module) -> None:
    """Raises `UserError` for a model whose architecture defines no decoding."""
    missing = [name for name in ("empty_cache", "extend") if not hasattr(model, name)]
    if missing:
        name = getattr(getattr(model, "config", None), "architecture", type(model).__module__)
        raise UserError(
            f"architecture {name} can't decode: its Model has no {' and no '.join(missing)} "
            "(docs/evaluate.md says what they do); measure what needs no decoding, or add them"
        )


def _padded(prompts: Sequence[Sequence[int]], vocab_size: int) -> tuple[jax.Array, jax.Array]:
    """Prompts (B, P), filled up with zeros at their ends, and their lengths (B,)."""
    lengths = [len(prompt) for prompt in prompts]
    if not lengths or min(lengths) == 0:
        raise UserError("a prompt is empty: give each at least one token")
    padded_BxP = np.zeros((len(prompts), max(lengths)), np.int32)
    for row, prompt in zip(padded_BxP, prompts, strict=True):
        row[: len(prompt)] = prompt
    if padded_BxP.min() < 0 or padded_BxP.max() >= vocab_size:
        wrong = padded_BxP.min() if padded_BxP.min() < 0 else padded_BxP.max()
        raise UserError(f"a prompt has the token {wrong}: the vocabulary is 0 to {vocab_size - 1}")
    return jnp.asarray(padded_BxP), jnp.asarray(lengths, jnp.int32)


class _Carry(NamedTuple):
    """Between two steps. `logits_BxV`: for the token to come; `ended_B`: whether `stop` was among them."""

    step: jax.Array
    cache: Any
    logits_BxV: jax.Array
    ended_B: jax.Array
    tokens_BxN: jax.Array
    log_probabilities_BxN: jax.Array


@partial(jax.jit, static_argnames=("graph", "count", "top_k"))
def _decode(
    params: Any,
    prompts_BxP: jax.Array,
    length_B: jax.Array,
    key: jax.Array,
    temperature: jax.Array,
    stop: jax.Array,
    *,
    graph: nnx.GraphDef[Any],
    count: int,
    top_k: int,
) -> tuple[jax.Array, jax.Array]:
    model = cast(Decoder, nnx.merge(graph, params))
    batch, longest = prompts_BxP.shape
    head_DxV = model.unembedding()
    key_B = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(batch))

    def logits(features_BxD: jax.Array) -> jax.Array:
        return jnp.matmul(features_BxD, head_DxV, preferred_element_type=jnp.float32)

    def step(carry: _Carry) -> _Carry:
        chosen_B = _choose(carry.logits_BxV, key_B, carry.step, temperature, top_k)
        own_B = jax.nn.log_softmax(carry.logits_BxV)[jnp.arange(batch), chosen_B]
        token_B = jnp.where(carry.ended_B, stop, chosen_B)
        features_Bx1xD, cache = model.extend(token_B[:, None], jnp.ones(batch, jnp.int32), carry.cache)
        return _Carry(
            carry.step + 1,
            cache,
            logits(features_Bx1xD[:, 0]),
            carry.ended_B | (token_B == stop),
            carry.tokens_BxN.at[:, carry.step].set(token_B),
            carry.log_probabilities_BxN.at[:, carry.step].set(jnp.where(carry.ended_B, 0.0, own_B)),
        )

    features_BxPxD, cache = model.extend(prompts_BxP, length_B, model.empty_cache(batch, longest + count))
    start = _Carry(
        jnp.int32(0),
        cache,
        logits(features_BxPxD[jnp.arange(batch), length_B - 1]),
        jnp.zeros(batch, bool),
        jnp.full((batch, count), stop),
        jnp.zeros((batch, count)),
    )
    done = jax.lax.while_loop(lambda c: (c.step < count) & ~jnp.all(c.ended_B), step, start)
    return done.tokens_BxN, done.log_probabilities_BxN


def _choose(
    logits_BxV: jax.Array, key_B: jax.Array, step: jax.Array, temperature: jax.Array, top_k: int
) -> jax.Array:
    """The next token (B,), by each sequence's own key and the number of the step."""
    likeliest_B = jnp.argmax(logits_BxV, axis=-1).astype(jnp.int32)
    if top_k:
        least_Bx1 = jax.lax.top_k(logits_BxV, top_k)[0][:, -1:]
        logits_BxV = jnp.where(logits_BxV >= least_Bx1, logits_BxV, -jnp.inf)
    keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(key_B, step)
    scaled_BxV = logits_BxV / jnp.where(temperature > 0, temperature, 1.0)  # by 0: nothing reads it
    drawn_B = jax.vmap(jax.random.categorical)(keys, scaled_BxV).astype(jnp.int32)
    return jnp.where(temperature > 0, drawn_B, likeliest_B)
