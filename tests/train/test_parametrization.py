"""Coordinate checks: what one rate does at several widths and depths; and Muon's updates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from isoflop.models import build
from isoflop.models.roles import ROLES, HiddenMatrix, Readout, Router
from isoflop.train.data.batches import CHUNK
from isoflop.train.parametrization import (
    decay_multiplier,
    rate_multiplier,
)
from isoflop.train.spec import (
    BASE_DEPTH,
    BASE_WIDTH,
    AdamW,
    Muon,
    Parametrization,
    Recipe,
    branch_scale,
)
from isoflop.train.step import TrainState, programs
from tests.support.small import small_model, small_recipe
from tests.support.trees import leaves

WIDTHS = (16, 128)
STEPS = 4


def recipe_of(width: int, parametrization: Parametrization, optimizer: Any = None, depth: int = 2) -> Recipe:
    """Four windows a step at a rate of .01, no decay."""
    model = small_model(width, depth=depth, branch_scale=branch_scale(parametrization, depth))
    optimizer = optimizer or AdamW(peak_lr=0.01, weight_decay=0.0, clip=1e9)
    return small_recipe(model=model, optimizer=optimizer, parametrization=parametrization)


def after(recipe: Recipe, steps: int) -> tuple[TrainState, np.ndarray]:
    """The state after some steps at the recipe's rate on random windows, and those windows."""
    draw = np.random.default_rng(0)
    windows = draw.integers(97, 123, (16, recipe.model.context_length + 1)).astype(np.uint8)
    rows = draw.integers(0, 16, (CHUNK, recipe.batch_size)).astype(np.int32)
    rates = np.full(CHUNK, recipe.optimizer.peak_lr, np.float32)
    program = programs(recipe)
    return program.train(program.init(0), windows, rows, rates, np.float32(0), steps)[0], windows


def coordinates(recipe: Recipe) -> dict[str, float]:
    """Root mean square change, by STEPS of training, of the residual stream and the logits of one window."""
    state, windows = after(recipe, STEPS)
    graph, _ = nnx.split(nnx.eval_shape(lambda: build(recipe.model, seed=0)))

    def look(params: Any) -> dict[str, jax.Array]:
        model: Any = nnx.merge(graph, params)
        tokens = windows[:1, :-1].astype(int)
        x = model.embedding[...][tokens]
        for block in model.blocks:
            x, _ = block(x, None)
        return {"stream": x, "logits": model(tokens)}

    before, now = (jax.jit(look)(p) for p in (programs(recipe).init(0).params, state.params))
    return {name: float(np.sqrt(np.mean((now[name] - before[name]) ** 2))) for name in before}


def slope(sizes: tuple[int, ...], recipes: list[Recipe], name: str) -> float:
    """Of the change in logs over the size."""
    changes = [coordinates(recipe)[name] for recipe in recipes]
    return float(np.polyfit(np.log(sizes), np.log(changes), 1)[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stream", "logits"])
def test_one_rate_moves_every_width_alike_under_mup_alone(name: str) -> None:
    mup, standard = (
        slope(WIDTHS, [recipe_of(w, parametrization) for w in WIDTHS], name)
        for parametrization in ("mup", "standard")
    )
    assert abs(mup) < 0.25
    assert standard > mup + 0.4


@pytest.mark.slow
def test_one_rate_moves_every_depth_alike_under_completep_alone() -> None:
    depths = (2, 6)
    completep, mup = (
        slope(depths, [recipe_of(16, parametrization, depth=d) for d in depths], "stream")
        for parametrization in ("completep", "mup")
    )
    assert abs(completep) < 0.25
    assert mup > completep + 0.4


def test_at_the_base_all_parametrizations_are_one() -> None:
    recipes = [recipe_of(BASE_WIDTH, p, depth=BASE_DEPTH) for p in ("standard", "mup", "completep")]
    assert len({recipe.model for recipe in recipes}) == 1
    for recipe in recipes:
        assert {rate_multiplier(recipe, role) for role in ROLES} == {1.0}
        assert {decay_multiplier(recipe, role) for role in ROLES} == {0.0, 1.0}


def test_rate_times_decay_does_not_hang_on_the_width() -> None:
    for optimizer in (AdamW(0.01), Muon(0.01)):
        for width in (16, 256):
            recipe = recipe_of(width, "mup", optimizer)
            products = {
                role: rate_multiplier(recipe, role) * decay_multiplier(recipe, role) for role in ROLES
            }
            assert {role for role, product in products.items() if product} == {HiddenMatrix, Readout, Router}
            assert [product for product in products.values() if product] == pytest.approx([1.0] * 3)


def test_muon_moves_hidden_matrices_by_orthogonal_steps_of_adams_size() -> None:
    """Two steps, for at the first the head's zeros let no gradient through."""
    recipe = recipe_of(16, "standard", Muon(peak_lr=0.01, weight_decay=0.0, clip=1e9))
    (one, _), (two, _) = after(recipe, 1), after(recipe, 2)
    moved = leaves(jax.tree.map(lambda a, b: (b - a) / 0.01, one.params, two.params))
    hidden = {name: x for name, x in moved.items() if "kernel" in name and "head" not in name}
    assert len(hidden) == 4 * recipe.model.depth
    for name, x in hidden.items():
        if "out" not in name and "down" not in name:
            continue  # behind projections that are still zero there is no gradient yet
        values = np.linalg.svd(x, compute_uv=False)
        largest = values.max()
        assert largest < 3 * np.median(values), name
        assert np.sqrt(np.mean(x**2)) == pytest.approx(0.2, rel=0.4), name
    adam = leaves(
        jax.tree.map(
            lambda a, b: b - a,
            after(replace(recipe, optimizer=AdamW(0.01, weight_decay=0.0, clip=1e9)), 1)[0].params,
            one.params,
        )
    )
    for name, x in adam.items():
        if name not in hidden:
            np.testing.assert_allclose(x, 0, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_muon_learns() -> None:
    recipe = recipe_of(16, "standard", Muon(peak_lr=0.02))
    program = programs(recipe)
    state, windows = after(recipe, 0)
    rows = np.tile(np.arange(4, dtype=np.int32), (CHUNK, 1))
    rates = np.full(CHUNK, 0.02, np.float32)
    _, metrics = program.train(state, windows, rows, rates, np.float32(0.1), 100)
    losses = np.asarray(metrics["loss"])
    assert losses[99] < 0.5 < losses[0]
