"""Runs trained together as members of one program, against the same runs alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from isoflop.train import checkpoint
from isoflop.train.data import batches
from isoflop.train.data.batches import CHUNK
from isoflop.train.data.corpus import Corpus
from isoflop.train.loop import (
    FIRST_STEPS,
    Trained,
    TrainingRun,
    _joined_chunks,
    pack_key,
    run_segment,
    run_segments,
)
from isoflop.train.spec import Recipe, Segment
from isoflop.train.step import programs
from tests.support.trees import leaves, same

STEPS = 40


def variants(recipe: Recipe, steps: int = STEPS) -> list[Segment]:
    """Runs of one shape that differ in seeds, rate, decay, schedule and the text that they repeat."""
    optimizer, schedule = recipe.optimizer, recipe.schedule
    recipes = [
        recipe,
        replace(recipe, init_seed=1, data_seed=2),
        replace(recipe, optimizer=replace(optimizer, peak_lr=0.005, weight_decay=0.0)),
        replace(recipe, schedule=replace(schedule, name="cosine", warmup_steps=9), unique_windows=20),
    ]
    return [Segment(r, 0, steps, steps, None) for r in recipes]


@pytest.fixture(scope="module")
def alone(recipe: Recipe, corpus: Corpus) -> list[Trained]:
    """Each of the variants, trained by itself."""
    return [run_segment(segment, corpus, None) for segment in variants(recipe)]


def test_members_in_turn_are_bitwise_what_they_are_alone(
    recipe: Recipe, corpus: Corpus, alone: list[Trained]
) -> None:
    assert programs(recipe).packing == "map"
    together = run_segments(variants(recipe), corpus, [None] * 4)
    for one, member in zip(alone, together, strict=True):
        assert same(one.state, member.state)
        for name, values in one.metrics.items():
            np.testing.assert_array_equal(member.metrics[name], values, err_msg=name)


def test_members_side_by_side_are_what_they_are_alone_but_for_rounding(
    recipe: Recipe, corpus: Corpus, alone: list[Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "isoflop.train.loop.programs", lambda recipe, execution: programs(recipe, execution, "vmap")
    )
    together = run_segments(variants(recipe), corpus, [None] * 4)
    for one, member in zip(alone, together, strict=True):
        np.testing.assert_allclose(member.losses[:25], one.losses[:25], rtol=2e-3)  # then rounding grows
        np.testing.assert_allclose(member.losses[:5], one.losses[:5], rtol=1e-5)
    assert len({float(member.losses[-1]) for member in together}) == 4


def test_a_member_that_explodes_leaves_the_others_alone(
    recipe: Recipe, corpus: Corpus, alone: list[Trained]
) -> None:
    segments = variants(recipe)
    wild = replace(segments[1].recipe, optimizer=replace(recipe.optimizer, peak_lr=1e30))
    segments[1] = replace(segments[1], recipe=wild)
    together = run_segments(segments, corpus, [None] * 4)
    assert [member.diverged for member in together] == [False, True, False, False]
    assert 1 < len(together[1].losses) < STEPS
    for i in (0, 2, 3):
        assert same(together[i].state, alone[i].state)


def test_all_exploding_ends_the_pack_early(recipe: Recipe, corpus: Corpus) -> None:
    wild = replace(recipe, optimizer=replace(recipe.optimizer, peak_lr=1e30))
    total = 5 * CHUNK
    segments = [Segment(replace(wild, init_seed=seed), 0, total, total, None) for seed in range(2)]
    run = TrainingRun(segments, corpus, [None, None])
    lengths = [metrics["loss"].shape for metrics in run if metrics]
    assert all(member.diverged and member.steps == 2 for member in run.trained())
    assert lengths == [(2, FIRST_STEPS)]


def test_members_go_on_from_their_own_checkpoints(
    recipe: Recipe, corpus: Corpus, alone: list[Trained], tmp_path: Path
) -> None:
    wholes = variants(recipe)[:2]
    starts = run_segments([replace(s, stop=17) for s in wholes], corpus, [None, None])
    for i, start in enumerate(starts):
        checkpoint.save(start.state, tmp_path / str(i))
    rest = [replace(s, start=17) for s in wholes]
    finished = run_segments(rest, corpus, [tmp_path / "0", tmp_path / "1"])
    for one, end in zip(alone, finished, strict=False):
        assert same(end.state, one.state)


def test_streamed_members_have_windows_of_their_own(
    recipe: Recipe, corpus: Corpus, alone: list[Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 1)
    together = run_segments(variants(recipe), corpus, [None] * 4)
    for one, member in zip(alone, together, strict=True):
        assert same(one.state, member.state)


def test_members_of_one_seed_read_their_windows_once(
    recipe: Recipe, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 1)
    segments = variants(recipe)
    (chunk,) = _joined_chunks(segments, corpus, 0)
    assert len(chunk.windows) == 3 * CHUNK * recipe.batch_size  # three data orders among four members
    for rows, segment in zip(chunk.rows, segments, strict=True):
        order = segment.recipe.data_order
        index = corpus.order(
            order.seed,
            0,
            STEPS,
            batch_size=recipe.batch_size,
            context=32,
            unique_windows=order.unique_windows,
        )
        own = corpus.windows("train", 32, index.ravel()).reshape(STEPS, recipe.batch_size, 33)
        np.testing.assert_array_equal(np.asarray(chunk.windows)[rows[:STEPS]], own)


def test_a_members_seconds_are_its_share(recipe: Recipe, corpus: Corpus) -> None:
    whole = run_segments(variants(recipe, 2 * CHUNK), corpus, [None] * 4)
    assert {member.members for member in whole} == {4}
    assert len({member.seconds for member in whole}) == 1
    for member in whole:
        assert member.step_seconds is not None
        assert 0 <= member.startup_seconds < member.seconds
        assert member.step_seconds * (CHUNK - 1) < member.seconds


def test_only_runs_of_one_shape_and_stretch_are_packed(recipe: Recipe, corpus: Corpus) -> None:
    first = Segment(recipe, 0, STEPS, STEPS, None)
    others: list[Any] = [
        replace(first, stop=STEPS + 1),
        replace(first, start=1),
        replace(first, recipe=replace(recipe, batch_size=8)),
        replace(first, recipe=replace(recipe, optimizer=replace(recipe.optimizer, beta2=0.9))),
    ]
    for other in others:
        assert pack_key(other) != pack_key(first)
        with pytest.raises(ValueError, match="different shapes or steps"):
            run_segments([first, other], corpus, [None, None])


def test_norms_are_those_of_gradient_and_update(recipe: Recipe, corpus: Corpus) -> None:
    run = run_segment(Segment(recipe, 0, 1, 1, None), corpus, None)
    before = programs(recipe).init(recipe.init_seed)
    moved = leaves(jax.tree.map(lambda a, b: a - b, run.state.params, before.params))
    size = np.sqrt(sum(float((x.astype(np.float64) ** 2).sum()) for x in moved.values()))
    assert run.metrics["update_norm"] == pytest.approx([size], rel=1e-3)
    assert run.metrics["grad_norm"].shape == (1,)
    # Only the head learns at first: everything behind its zeros has no gradient.
    assert set(run.metrics) == {"loss", "grad_norm", "update_norm"}
