"""Attention against softmax(Q K^T) V written out; documents that don't see each other."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isoflop.models import ModelConfig, attention, build
from isoflop.models.attention import Attention, attend, documents, implementation
from tests.support.optional import lacking
from tests.support.small import small_model

SEPARATOR = 7
SCALE = 0.3
BOUNDS = {"float32": 2e-6, "bfloat16": 2e-2}
"""Largest difference over the largest value: a few roundings of 24 and of 8 bits."""
# cuDNN's flash attention takes half precision alone.
KERNELS = [(kernel, dtype) for kernel in ("plain", "xla") for dtype in BOUNDS] + [("cudnn", "bfloat16")]


def written_out(q: jax.Array, k: jax.Array, v: jax.Array, numbers: jax.Array | None) -> jax.Array:
    """Plain attention in float32; query head h reads key-value head h // (H / K)."""
    q, k, v = (x.astype(jnp.float32) for x in (q, k, v))
    repeats, T = q.shape[2] // k.shape[2], q.shape[1]
    k, v = (jnp.repeat(x, repeats, axis=2) for x in (k, v))
    scores = jnp.einsum("bthc,bshc->bhts", q, k, precision="highest") * SCALE
    seen = jnp.tril(jnp.ones((T, T), bool))[None, None]
    if numbers is not None:
        seen &= (numbers[:, :, None] == numbers[:, None, :])[:, None]
    weights = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf))
    return jnp.einsum("bhts,bshc->bthc", weights, v, precision="highest")


@pytest.fixture
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The kernel that `attend` takes; NVIDIA's is skipped elsewhere."""
    if request.param == "cudnn" and jax.default_backend() != "gpu":
        lacking("gpu", f"JAX runs on {jax.default_backend()} here.")
    monkeypatch.setattr("isoflop.models.attention.implementation", lambda *_, **__: request.param)
    return request.param


@pytest.mark.parametrize("packed", [False, True], ids=["whole", "documents"])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize(("kernel", "dtype"), KERNELS, indirect=["kernel"])
def test_it_is_the_formula(kernel: str, dtype: str, kv_heads: int, packed: bool) -> None:
    draw = np.random.default_rng(0)
    q, k, v, out = (
        jnp.asarray(draw.standard_normal((2, 24, h, 16)), dtype) for h in (4, kv_heads, kv_heads, 4)
    )
    numbers = documents(jnp.asarray(draw.integers(0, 2 * SEPARATOR, (2, 24))), SEPARATOR) if packed else None

    def both(f: Any) -> Any:
        y, pull = jax.vjp(lambda *qkv: f(*qkv, numbers), q, k, v)
        return y, *pull(out.astype(y.dtype))

    ours = jax.jit(lambda: both(partial(attend, scale=SCALE)))()
    expected = jax.jit(lambda: both(written_out))()
    assert ours[0].dtype == q.dtype
    for a, b in zip(ours, expected, strict=True):
        wide, narrow = np.asarray(b, np.float32), np.asarray(a, np.float32)
        assert np.abs(narrow - wide).max() <= BOUNDS[dtype] * np.abs(wide).max()


@pytest.mark.parametrize("head_dim", [2, 6, 16, 64])
@pytest.mark.parametrize("bound", [8.0, 3.0])
def test_attention_is_equally_sharp_at_every_head_size(
    head_dim: int, bound: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No logit exceeds the bound, however large the input, and a key that is the query's own reaches it."""
    seen: dict[str, Any] = {}

    def record(q: jax.Array, k: jax.Array, v: jax.Array, numbers: Any, *, scale: float) -> jax.Array:
        seen.update(q=q, k=k, scale=scale)
        return q

    monkeypatch.setattr(attention, "attend", record)
    config = small_model(heads=4, kv_heads=4, head_dim=head_dim, max_attention_logit=bound)
    layer = Attention(config, dtype="float32", rngs=nnx.Rngs(0))
    layer(100.0 * jax.random.normal(jax.random.key(1), (2, 12, config.width)))
    logits = seen["scale"] * jnp.einsum("bthc,bshc->bhts", seen["q"], seen["k"], precision="highest")
    own = seen["scale"] * jnp.sum(seen["q"] ** 2, axis=-1)
    assert np.abs(logits).max() <= bound * (1 + 1e-5)
    np.testing.assert_allclose(own, bound, rtol=1e-4)


@pytest.mark.parametrize(
    ("platform", "capability", "dtype", "head_dim", "length", "masked", "expected"),
    [
        ("gpu", "9.0", "bfloat16", 64, 2048, False, "cudnn"),
        ("gpu", "8.0", "float16", 128, 2048, True, "cudnn"),
        ("gpu", "10.0", "bfloat16", 8, 2047, False, "cudnn"),
        ("gpu", "9.0", "bfloat16", 64, 2047, True, "xla"),
        ("gpu", "9.0", "float32", 64, 2048, False, "xla"),
        ("gpu", "9.0", "bfloat16", 12, 2048, False, "xla"),
        ("gpu", "9.0", "bfloat16", 136, 2048, False, "xla"),
        ("gpu", "7.5", "bfloat16", 64, 2048, False, "xla"),
        ("gpu", "gfx942", "bfloat16", 64, 2048, False, "xla"),
        ("tpu", None, "bfloat16", 64, 2048, False, "xla"),
        ("cpu", None, "bfloat16", 64, 2048, False, "plain"),
    ],
)
def test_the_kernel_is_chosen_by_what_it_supports(
    platform: str, capability: str | None, dtype: str, head_dim: int, length: int, masked: bool, expected: str
) -> None:
    device = SimpleNamespace(platform=platform)
    if capability:
        device.compute_capability = capability
    assert implementation(device, dtype, head_dim, length=length, masked=masked) == expected


def test_a_separator_belongs_to_the_document_it_ends() -> None:
    s = SEPARATOR
    tokens = jnp.array([[1, 2, s, 3, s, s, 4], [s, 1, 2, 3, 4, 5, 6]])
    expected = [[0, 0, 0, 1, 1, 2, 3], [0, 1, 1, 1, 1, 1, 1]]
    np.testing.assert_array_equal(documents(tokens, s), expected)


def model_of(config: ModelConfig) -> Any:
    """A model with noise for every parameter."""
    graph, shapes = nnx.split(nnx.eval_shape(lambda: build(config, seed=0)))
    draw = np.random.default_rng(0)
    return nnx.merge(graph, jax.tree.map(lambda x: jnp.float32(0.5 * draw.standard_normal(x.shape)), shapes))


PACKED = np.array([[1, 2, 3, SEPARATOR, 4, 5, 6, 8, SEPARATOR, 9]])


def features(tokens: np.ndarray, separator: int | None) -> np.ndarray:
    """Final features (T, D) of one window."""
    model = model_of(small_model(8, context_length=10, document_separator=separator))
    return np.asarray(jax.jit(model.features)(tokens)[0][0])


def test_a_document_reads_the_same_wherever_it_stands() -> None:
    """Rotary positions are relative: packed or alone, at any offset."""
    packed = features(PACKED, SEPARATOR)
    for start, stop in ((0, 4), (4, 9), (9, 10)):
        alone = features(PACKED[:, start:stop], None)
        np.testing.assert_allclose(packed[start:stop], alone, rtol=1e-4, atol=1e-5)
    assert not np.allclose(packed[4:9], features(PACKED, None)[4:9], atol=1e-2)


def test_no_influence_crosses_a_separator() -> None:
    model = model_of(small_model(8, context_length=10, document_separator=SEPARATOR))
    numbers = documents(jnp.asarray(PACKED), SEPARATOR)

    def out(x_TxD: jax.Array) -> jax.Array:
        x = x_TxD[None]
        for block in model.blocks:
            x, _ = block(x, numbers)
        return x[0]

    jacobian = jax.jit(jax.jacrev(out))(model.embedding[...][PACKED[0]])
    moved = np.abs(jacobian).sum(axis=(1, 3)) > 0
    same = np.asarray(numbers[0][:, None] == numbers[0][None, :])
    np.testing.assert_array_equal(moved, np.tril(same))


def test_a_separator_that_does_not_occur_changes_nothing() -> None:
    """But for the last bit, where the compiler fuses a sum with its product."""
    np.testing.assert_allclose(features(PACKED, 200), features(PACKED, None), rtol=1e-5, atol=1e-6)
