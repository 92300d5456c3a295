"""Distillation: the loss against NumPy's, and students against what their teacher is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isoflop.base.json_values import from_json, to_json
from isoflop.train import checkpoint, loss
from isoflop.train.data.corpus import Corpus
from isoflop.train.distillation import TeacherOutputs, distilled_loss
from isoflop.train.loop import Trained, TrainingRun, evaluate, pack_key, run_segment, run_segments
from isoflop.train.spec import CellSpec, Distillation, Recipe, Segment, Teacher
from isoflop.train.step import TrainState, programs
from tests.support.trees import same

B, T, D, V = 2, 8, 5, 17
STEPS = 40


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Of the last axis, float64."""
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("stretches", [1, 4])
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_loss_and_its_gradients_are_those_of_numpy(
    share: float, stretches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss, "LOGITS_BYTES", 4 * B * T * V // stretches)
    draw = np.random.default_rng(1)
    x, head, x_T, head_T = (draw.standard_normal(s) for s in ((B, T, D), (D, V), (B, T, D + 2), (D + 2, V)))
    targets = draw.integers(0, V, (B, T))
    log_q, p = log_softmax(x @ head), np.exp(log_softmax(x_T @ head_T))
    data = np.eye(V)[targets]
    hard, soft = -(data * log_q).sum(axis=-1).mean(), -(p * log_q).sum(axis=-1).mean()
    pull = (np.exp(log_q) - share * p - (1 - share) * data) / targets.size

    teacher_outputs = TeacherOutputs(jnp.asarray(x_T, jnp.float32), jnp.asarray(head_T, jnp.float32))
    student = jnp.asarray(x, jnp.float32), jnp.asarray(head, jnp.float32)

    def objective(x: Any, head: Any) -> Any:
        losses = distilled_loss(x, head, jnp.asarray(targets), teacher_outputs, share)
        return losses.objective, losses

    gradient, losses = jax.grad(objective, argnums=(0, 1), has_aux=True)(*student)
    np.testing.assert_allclose(losses, (share * soft + (1 - share) * hard, hard, soft), rtol=1e-5)
    np.testing.assert_allclose(gradient[0], pull @ head.T, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gradient[1], np.einsum("btd,btv->dv", x, pull), rtol=1e-4, atol=1e-6)


def taught(recipe: Recipe, teacher: Trained, share: float = 1.0, **changes: Any) -> Recipe:
    """The recipe with a teacher of its own shape."""
    cell = CellSpec(recipe, STEPS)
    digest = checkpoint.params_digest(teacher.state.params)
    known = Teacher(cell.cell_id, digest, recipe.model, recipe.dtype, recipe.data, cell.flops, 3.0)
    return replace(recipe, distillation=Distillation(known, share), init_seed=1, data_seed=1, **changes)


def trained(recipe: Recipe, corpus: Corpus, teacher: Trained, steps: int) -> Trained:
    """A student of the teacher."""
    segment = Segment(recipe, 0, steps, steps, None)
    return run_segment(segment, corpus, None, teacher_params=teacher.state.params)


def test_a_student_that_is_its_teacher_has_nothing_to_learn(
    recipe: Recipe, corpus: Corpus, unsplit: Trained, tmp_path: Path
) -> None:
    params, student = unsplit.state.params, taught(recipe, unsplit)
    same_model = TrainState(params, programs(student).init(0).moments)
    checkpoint.save(same_model, tmp_path / "state")
    first = Segment(student, 0, 1, 1, None)
    step = run_segment(first, corpus, tmp_path / "state", teacher_params=params)
    assert step.metrics["grad_norm"][0] < 1e-6
    assert step.losses[0] > 1.0


def test_a_student_of_its_teachers_shape_comes_to_its_teachers_loss(
    recipe: Recipe, corpus: Corpus, unsplit: Trained
) -> None:
    """And stops there, where training on the data alone goes on; another seed, other windows."""

    def heldout(model: Trained) -> float:
        return float(evaluate(CellSpec(recipe, STEPS, eval_windows=256), model.state, corpus).losses.mean())

    student, steps = taught(recipe, unsplit), 20 * STEPS
    alone = Segment(replace(student, distillation=None), 0, steps, steps, None)
    goal = heldout(unsplit)
    assert heldout(trained(student, corpus, unsplit, steps)) == pytest.approx(goal, abs=0.03)
    assert heldout(run_segment(alone, corpus, None)) < goal - 0.2


def test_a_students_run_may_be_cut_anywhere(
    recipe: Recipe, corpus: Corpus, unsplit: Trained, tmp_path: Path
) -> None:
    student = taught(recipe, unsplit)
    whole = trained(student, corpus, unsplit, STEPS)
    params = unsplit.state.params
    run = TrainingRun([Segment(student, 0, STEPS, STEPS, None)], corpus, [None], teacher_params=params)
    next(iter(run))
    (part,) = run.trained()
    checkpoint.save(part.state, tmp_path / "part")
    assert 0 < part.steps < STEPS
    state = checkpoint.restore(student, tmp_path / "part")
    segment = Segment(student, 0, STEPS, STEPS, None)
    rest = run_segment(segment, corpus, replace(part, state=state), teacher_params=params)
    assert same(rest.state, whole.state)
    for name, values in whole.metrics.items():
        np.testing.assert_array_equal(rest.metrics[name], values, err_msg=name)
    assert "distillation_loss" in whole.metrics


def test_students_of_one_teacher_are_members_of_one_program(
    recipe: Recipe, corpus: Corpus, unsplit: Trained
) -> None:
    student = taught(recipe, unsplit)
    segments = [Segment(replace(student, init_seed=seed), 0, 20, 20, None) for seed in (1, 2)]
    params = unsplit.state.params
    together = run_segments(segments, corpus, [None, None], teacher_params=params)
    for segment, member in zip(segments, together, strict=True):
        assert same(run_segment(segment, corpus, None, teacher_params=params).state, member.state)
    distillation = student.distillation
    assert distillation is not None
    other = replace(distillation, teacher=replace(distillation.teacher, digest="another"))
    stranger = replace(segments[0], recipe=replace(student, distillation=other))
    assert pack_key(stranger) != pack_key(segments[0])
    assert programs(stranger.recipe) is programs(student)  # no teacher's parameters are part of a program
    with pytest.raises(ValueError, match="with its parameters"):
        run_segment(segments[0], corpus, None)


def test_a_teacher_is_part_of_the_name_and_its_absence_is_not(recipe: Recipe, unsplit: Trained) -> None:
    student = taught(recipe, unsplit)
    assert "distillation" not in recipe.canonical
    assert from_json(Recipe, to_json(student)) == student
    assert student.distillation is not None
    names = {
        CellSpec(replace(student, distillation=distillation), STEPS).cell_id
        for distillation in (
            None,
            student.distillation,
            replace(student.distillation, share=0.5),
            replace(student.distillation, teacher=replace(student.distillation.teacher, digest="another")),
        )
    }
    assert len(names) == 4
