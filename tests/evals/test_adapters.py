"""Adapters of low rank and full tuning: exact where the one can be the other, and what is left as it was."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isoflop.base.errors import UserError
from isoflop.evals.adapters import Options, measure, refuse
from isoflop.evals.low_rank import nearest, rank_at
from isoflop.evals.tuning import (
    Adapter,
    Tuning,
    adapter_flops,
    matrices,
    merged,
    of_adapters,
    of_parameters,
    trainable,
    tune,
)
from isoflop.models import build, ledger
from isoflop.models.roles import Embedding, HiddenMatrix, Readout, map_roles
from isoflop.train.data.corpus import prepare
from isoflop.train.spec import Recipe
from tests.support.small import BATCH, CONTEXT, small_model, small_recipe

LARGEST = 24
"""The largest fan-in of the model's matrices."""


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return small_recipe(model=small_model(depth=1))


@pytest.fixture(scope="module")
def params(recipe: Recipe) -> Any:
    """Parameters none of which is zero, as those of a trained model."""

    @jax.jit
    def drawn() -> Any:
        leaves, tree = jax.tree.flatten(nnx.state(build(recipe.model, seed=0), nnx.Param))
        keys = jax.random.split(jax.random.key(1), len(leaves))
        noise = [0.1 * jax.random.normal(key, x.shape) for x, key in zip(leaves, keys, strict=True)]
        return tree.unflatten([x + y for x, y in zip(leaves, noise, strict=True)])

    return drawn()


@pytest.fixture(scope="module")
def graph(recipe: Recipe) -> Any:
    return nnx.graphdef(nnx.eval_shape(lambda: build(recipe.model, seed=0)))


def batches(steps: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (steps, BATCH, CONTEXT + 1)).astype(np.uint8)


def roles(params: Any) -> list[type]:
    return jax.tree.leaves(map_roles(lambda role: role, params))


def test_an_adapter_at_its_start_is_the_model_itself(params: Any) -> None:
    tuning = of_adapters(params, 3, largest=4, alpha=8.0, seed=0)
    after = jax.jit(merged)(params, tuning.start, tuning.factor_R)
    for before, now in zip(jax.tree.leaves(params), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(now, before)


def test_a_full_adapters_first_step_is_that_of_its_matrix(recipe: Recipe, graph: Any, params: Any) -> None:
    """Where A is the identity and alpha / r is 1, B's gradient is W's, and A's is zero as B is."""

    def identity(x: jax.Array) -> Adapter:
        *stack, fan_in, fan_out = x.shape
        down = jnp.broadcast_to(jnp.eye(fan_in, LARGEST), (*stack, fan_in, LARGEST))
        return Adapter(down, jnp.zeros((*stack, LARGEST, fan_out)))

    beside = jax.jit(lambda found: tuple(identity(x) for x in found))(matrices(params))
    full = Tuning(beside, jax.tree.map(lambda _: 1.0, beside), np.ones(LARGEST, np.float32))
    itself = of_parameters(recipe, params, matrices_only=True)
    by_adapters = tune(recipe, graph, params, full, batches(4), [0.01])
    directly = tune(recipe, graph, params, itself, batches(4), [0.01])
    for before, one, other, role in zip(
        *map(jax.tree.leaves, (params, by_adapters, directly)), roles(params), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=2e-6)
        moved = np.abs(np.asarray(other) - before).max()
        assert (moved > 5e-3) == issubclass(role, HiddenMatrix | Readout)


def test_what_is_not_tuned_stays_bit_for_bit(recipe: Recipe, graph: Any, params: Any) -> None:
    """And rank 1 beside a larger rank starts as it would alone, and no further column comes into it."""
    alone, padded = (of_adapters(params, 1, largest=n, alpha=4.0, seed=3) for n in (1, LARGEST))
    for one, several in zip(alone.start, padded.start, strict=True):
        np.testing.assert_array_equal(one.down, several.down[..., :1])
    after = tune(recipe, graph, params, padded, batches(4), [0.01, 0.02, 0.01])
    for before, one, role in zip(*map(jax.tree.leaves, (params, after)), roles(params), strict=True):
        change = np.asarray(one - before, dtype=np.float64)
        if issubclass(role, HiddenMatrix | Readout):
            values = np.linalg.svd(change, compute_uv=False)
            assert values[1] < 1e-5 * values[0]  # of rank 1
        else:
            assert not change.any()
    assert trainable(alone, 1) == trainable(padded, 1) == sum(sum(x.shape) for x in matrices(params))
    everything = of_parameters(recipe, params, matrices_only=False)
    assert trainable(everything, 0) == recipe.ledger.params("total")
    only = trainable(of_parameters(recipe, params, matrices_only=True), 0)
    embedding = sum(
        x.size for x, r in zip(jax.tree.leaves(params), roles(params), strict=True) if r is Embedding
    )
    assert only == sum(x.size for x in matrices(params)) < recipe.ledger.params("total") - embedding


def test_flops_of_adapters_by_the_ledger(recipe: Recipe, params: Any) -> None:
    """Two passes instead of three through what is frozen; of experts, those that a token visits."""
    book, c = recipe.ledger, recipe.model
    sides = sum(sum(x.shape) for x in matrices(params))
    frozen = book.train_flops - (book.forward_flops - book.forward["attention"])
    assert adapter_flops(recipe, params, 0) == frozen
    assert adapter_flops(recipe, params, 5) == frozen + 3 * 2 * 5 * sides
    mixture = small_model(experts=4)
    own = nnx.state(nnx.eval_shape(lambda: build(mixture, seed=0)), nnx.Param)
    visited = sum(
        x.size // (x.shape[-2] * x.shape[-1]) * (x.shape[-2] + x.shape[-1]) / (4 if x.ndim > 2 else 1)
        for x in matrices(own)
    )
    many = replace(recipe, model=mixture)
    frozen = 2 * ledger(mixture).forward_flops + ledger(mixture).forward["attention"]
    assert adapter_flops(many, own, 2) == frozen + 3 * 2 * 2 * visited
    assert c.width < LARGEST


def model_of(recipe: Recipe, graph: Any, params: Any, losses: Any = None) -> Any:
    """As much of a trained model as a tuning asks for."""
    cell = SimpleNamespace(cell_id="abc")
    return SimpleNamespace(recipe=recipe, graph=graph, params=params, cell=cell, losses=losses)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "synthetic:zipf,vocab=64"}, "has 64 token ids and .* 256: take a corpus of the same"),
        ({"tokens": (64, 256)}, "tokens 64: a step of abc takes 128: give that many at least"),
        ({"tokens": (10_000_000,)}, "tokens 10,000,000: text:.* to train on: give no more"),
        ({"windows": 100_000}, "heldout windows"),
        ({"windows": 16, "tune_windows": 100_000}, "tune windows"),
        ({"ranks": (2, 2)}, "ranks 2, 2: give each once"),
        ({"rates": ()}, "rates none: give at least one"),
        ({"ranks": (0,)}, "ranks .*must be at least 1"),
        ({"data": "no-such"}, "unknown dataset 'no-such'"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    options: dict[str, Any], message: str, source_name: str, recipe: Recipe
) -> None:
    data = replace(recipe.data, source=source_name)
    given: dict[str, Any] = {"data": source_name} | options
    with pytest.raises(UserError, match=message) as caught:
        refuse(model_of(replace(recipe, data=data), None, None), Options(**given))
    assert "\n" not in str(caught.value)


def test_a_tuning_that_diverges_at_every_rate_is_named(
    source_name: str, recipe: Recipe, graph: Any, params: Any
) -> None:
    corpus = prepare(source_name, "bytes")

    def losses(windows: Any, now: Any) -> Any:
        return np.full((len(windows), CONTEXT), 2.0 if now is None else np.nan)

    own = replace(recipe, data=replace(recipe.data, source=source_name))
    model = model_of(own, graph, params, losses)
    model.windows = lambda count: corpus.evaluation_windows("heldout", CONTEXT, count)
    options = Options(data=source_name, tokens=(512,), windows=4, tune_windows=4, rates=(0.01,))
    with pytest.raises(UserError, match="abc diverged at every rate that full tried: lower rates"):
        measure(model, options)


def test_the_nearest_matrix_keeps_as_many_numbers_as_pruning() -> None:
    stack = jax.random.normal(jax.random.key(0), (2, 12, 6))
    for share in (0.0, 0.25, 0.5, 0.9):
        rank = rank_at(share, 12, 6)
        assert rank * 18 <= (1 - share) * 72 < (rank + 1) * 18
    rank = rank_at(0.5, 12, 6)
    for before, now in zip(np.asarray(stack), np.asarray(nearest(stack, 0.5)), strict=True):
        values, left = (np.linalg.svd(x, compute_uv=False) for x in (before, before - now))
        np.testing.assert_allclose(left[: 6 - rank], values[rank:], rtol=1e-4)
    exact = np.float32(np.outer(np.arange(12.0), np.arange(6.0)))
    np.testing.assert_allclose(nearest(jnp.asarray([exact, exact]), 0.5)[0], exact, atol=1e-4)
    assert not np.asarray(nearest(stack, 0.9)).any()
