"""Segments: cut anywhere, streamed or resident, they are the same run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isoflop.train import checkpoint
from isoflop.train.data import batches
from isoflop.train.data.batches import CHUNK, chunks
from isoflop.train.data.corpus import Corpus, prepare
from isoflop.train.loop import Trained, TrainingRun, run_segment
from isoflop.train.result import Clock, Evaluation, curve, measured, unfinished
from isoflop.train.spec import AdamW, CellSpec, Recipe, Schedule, Segment
from tests.support.examples import examples
from tests.support.trees import same


def in_parts(whole: Segment, cuts: list[int], corpus: Corpus, folder: Path) -> tuple[np.ndarray, Trained]:
    """The run cut at `cuts`, each part from the checkpoint of the one before; and its last part."""
    parent, losses, trained = None, [], None
    for start, stop in zip([0, *cuts], [*cuts, whole.stop], strict=True):
        trained = run_segment(replace(whole, start=start, stop=stop), corpus, parent)
        parent = folder / f"{start}-{stop}"
        checkpoint.save(trained.state, parent)
        losses.append(trained.losses)
    assert trained is not None
    return np.concatenate(losses), trained


@pytest.mark.parametrize("cuts", [[1], [39], [7, 20], [32, 33]])
def test_a_run_in_parts_is_bitwise_the_run_in_one(
    cuts: list[int], whole: Segment, unsplit: Trained, corpus: Corpus, tmp_path: Path
) -> None:
    losses, last = in_parts(whole, cuts, corpus, tmp_path)
    np.testing.assert_array_equal(losses, unsplit.losses)
    assert same(last.state, unsplit.state)


def test_a_run_of_several_stretches_may_be_cut_within_one(
    recipe: Recipe, corpus: Corpus, tmp_path: Path
) -> None:
    long = Segment(recipe, 0, 2 * CHUNK + 10, 2 * CHUNK + 10, None)
    unsplit = run_segment(long, corpus, None)
    losses, last = in_parts(long, [CHUNK - 1, CHUNK + 60], corpus, tmp_path)
    np.testing.assert_array_equal(losses, unsplit.losses)
    assert same(last.state, unsplit.state)
    assert unsplit.step_seconds is not None


def test_a_run_taken_half_way_goes_on_bitwise_with_its_metrics_and_seconds(
    recipe: Recipe, corpus: Corpus, tmp_path: Path
) -> None:
    """Taken after its second stretch, while the device is at work, from a checkpoint and from memory."""
    long = Segment(recipe, 0, CHUNK + 10, CHUNK + 10, None)
    whole = run_segment(long, corpus, None)
    run = TrainingRun([long], corpus, [None])
    stretches = iter(run)
    seen = [next(stretches), next(stretches)]
    assert seen[0] == {}
    assert not run.done
    (half,) = run.trained()
    assert 0 < seen[1]["loss"].shape[1] < half.steps < whole.steps
    np.testing.assert_array_equal(half.losses, whole.losses[: half.steps])
    checkpoint.save(half.state, tmp_path / "half")
    for state in (half.state, checkpoint.restore(recipe, tmp_path / "half")):
        rest = TrainingRun([long], corpus, [replace(half, state=state, seconds=100.0)])
        metrics = [metrics["loss"] for metrics in rest if metrics]
        np.testing.assert_array_equal(np.concatenate(metrics, axis=1)[0], whole.losses)
        assert same(rest.trained()[0].state, whole.state)
        assert rest.trained()[0].seconds > 100


def test_two_runs_of_one_recipe_are_bitwise_the_same(
    whole: Segment, unsplit: Trained, corpus: Corpus
) -> None:
    again = run_segment(whole, corpus, None)
    np.testing.assert_array_equal(again.losses, unsplit.losses)
    assert same(again.state, unsplit.state)


@pytest.mark.parametrize("seeds", [{"init_seed": 1}, {"data_seed": 1}])
def test_either_seed_makes_another_run(
    seeds: dict[str, int], whole: Segment, unsplit: Trained, corpus: Corpus
) -> None:
    other = run_segment(replace(whole, recipe=replace(whole.recipe, **seeds)), corpus, None)
    assert not np.array_equal(other.losses[1:], unsplit.losses[1:])


def test_a_trunk_is_the_beginning_of_a_run(whole: Segment, unsplit: Trained, corpus: Corpus) -> None:
    branch_at = whole.recipe.schedule.decay_start(whole.stop)
    trunk = run_segment(replace(whole, stop=branch_at, total=None), corpus, None)
    np.testing.assert_array_equal(trunk.losses, unsplit.losses[:branch_at])


def test_a_checkpoint_brings_back_every_bit(recipe: Recipe, unsplit: Trained, tmp_path: Path) -> None:
    checkpoint.save(unsplit.state, tmp_path / "checkpoint")
    assert same(checkpoint.restore(recipe, tmp_path / "checkpoint"), unsplit.state)


def test_a_corpus_too_large_for_the_device_is_streamed_to_the_same_end(
    recipe: Recipe, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Segment(recipe, 0, CHUNK + 5, CHUNK + 5, None)
    resident = run_segment(run, corpus, None)
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 1)
    streamed = run_segment(run, corpus, None)
    np.testing.assert_array_equal(streamed.losses, resident.losses)
    assert same(streamed.state, resident.state)


@pytest.mark.parametrize("limit", [0, 1 << 40])
@settings(max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 3 * CHUNK), length=st.integers(1, 2 * CHUNK))
def test_chunks_hold_each_steps_own_windows(
    limit: int, start: int, length: int, recipe: Recipe, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "RESIDENT_BYTES", limit)
    stop = start + length
    index = corpus.order(recipe.data_seed, start, stop, batch_size=4, context=32)
    expected = corpus.windows("train", 32, index.ravel()).reshape(length, 4, 33)
    found = [
        np.asarray(c.windows)[c.rows[: c.stop - c.start]]
        for c in chunks(corpus, recipe.data_order, start, stop)
    ]
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_a_corpus_is_resident_by_its_size_in_bytes(
    recipe: Recipe, source_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = prepare(source_name, "bpe-320")
    size = corpus.n_windows("train", 32) * 33 * np.dtype(corpus.dtype).itemsize
    for limit, is_whole in ((size, True), (size - 1, False)):
        monkeypatch.setattr(batches, "RESIDENT_BYTES", limit)
        chunk = next(iter(chunks(corpus, recipe.data_order, 0, 3)))
        assert (len(chunk.windows) == corpus.n_windows("train", 32)) is is_whole


@pytest.mark.parametrize("rate", [1e20, 1e30])
def test_a_run_that_explodes_ends_at_its_first_loss_that_is_no_number(
    rate: float, whole: Segment, corpus: Corpus
) -> None:
    wild = replace(whole.recipe, optimizer=AdamW(peak_lr=rate), schedule=Schedule("wsd", warmup_steps=1))
    trained = run_segment(replace(whole, recipe=wild), corpus, None)
    assert trained.diverged
    assert 1 < len(trained.losses) < 40
    assert np.isfinite(trained.losses[:-1]).all()


def test_a_finished_cell_measures_itself(recipe: Recipe, corpus: Corpus) -> None:
    cell = CellSpec(recipe, 100, "heldout", 4)
    losses, correct = np.array([[1.0, 2.0, 3.0, 4.0], [0.5, 0.25, 0.0, 0.25]], dtype=np.float32)
    train_losses = np.linspace(5, 1, 100, dtype=np.float32)
    row = measured(
        cell,
        corpus,
        evaluation=Evaluation(losses, correct),
        further={"./Other-Text.py:3": Evaluation(losses + 1, correct)},
        metrics={"loss": train_losses},
        clock=Clock(2.5, 0.4, 0.02),
        device="H100 80GB",
    )
    ledger = recipe.ledger
    assert row.status == "finished"
    assert row.loss == 2.5
    assert row.loss_stderr == pytest.approx(np.std([1, 2, 3, 4], ddof=1) / 2)
    assert row.accuracy == 0.25
    assert row.eval_losses == {"loss_other_text_py_3": 3.5}
    assert (row.data_digest, row.eval_windows) == (corpus.spec.digest, 4)
    assert row.train_loss == pytest.approx(train_losses[95:].mean())
    assert row.bits_per_byte == pytest.approx(2.5 / np.log(2) / corpus.bytes_per_token)
    assert row.n_tokens == row.n_tokens_unique == 100 * 128
    assert row.flops == 100 * 128 * ledger.train_flops
    assert row.flops_6nd == 6 * ledger.params("non_embedding") * 100 * 128
    assert row.tokens_per_second == 6400
    assert row.mfu == pytest.approx(6400 * ledger.train_flops / 989.4e12)


def test_tokens_seen_again_are_not_counted_as_unique(recipe: Recipe, corpus: Corpus) -> None:
    row = unfinished(CellSpec(recipe, 10_000), corpus, "pending", "")
    assert row.n_tokens > row.n_tokens_unique == corpus.n_tokens("train")
    assert row.loss is None
    part = unfinished(CellSpec(replace(recipe, unique_windows=10), 10_000), corpus, "pending", "")
    assert part.n_tokens_unique == 10 * recipe.model.context_length


@pytest.mark.parametrize("steps", [1, 3, 200, 999])
def test_a_curve_keeps_the_mean_of_the_losses(recipe: Recipe, steps: int) -> None:
    losses = np.random.default_rng(0).uniform(1, 5, steps).astype(np.float32)
    points = curve(CellSpec(recipe, steps), {"loss": losses}, losses)
    last_steps = np.array([0, *(point["step"] for point in points)])
    means = np.array([point["train_loss"] for point in points])
    assert last_steps[-1] == steps
    assert len(points) == min(steps, 200)
    assert (np.diff(last_steps) * means).sum() / steps == pytest.approx(losses.mean(dtype=float), rel=1e-6)
    assert points[-1]["flops"] == CellSpec(recipe, steps).flops
