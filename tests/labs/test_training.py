"""The train backend: the contract's model and optimizers, its clock, and what it refuses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isoflop.base.errors import UserError
from isoflop.commands.lab import run as lab_command
from isoflop.labs.admission import final_violations, run_violations
from isoflop.labs.backends import load_backend
from isoflop.labs.backends.backend import TIMEOUT, Backend, Outcome
from isoflop.labs.backends.train import Trainer
from isoflop.labs.contract.fields import now
from isoflop.labs.contract.rules import Windows
from isoflop.labs.contract.training_config import AdamWConfig, LrScheduler, TrainingConfig
from isoflop.labs.grading.finals import jobs_to_run, run_finals
from isoflop.labs.grading.grade import grade_class
from isoflop.labs.lab import Lab, open_lab
from isoflop.labs.pricing import Machine, ledger
from isoflop.labs.store.audit import audit
from isoflop.labs.store.experiments import list_experiments, submit
from isoflop.labs.store.finals import save_final
from isoflop.labs.store.freezing import freeze
from isoflop.labs.store.opening import open_store
from isoflop.labs.store.queue import claim, release_jobs_of
from isoflop.labs.store.students import student_named
from isoflop.labs.training import calibration, run
from isoflop.labs.training.calibration import Timing, machine_of
from isoflop.labs.training.limits import KEPT_FEATURES
from isoflop.labs.training.model import model_config
from isoflop.labs.training.programs import learning_rates
from isoflop.labs.training.setup import training_settings
from isoflop.labs.workers.worker import run_next
from isoflop.models import build
from isoflop.models import ledger as model_ledger
from isoflop.models.memory import activation_bytes
from isoflop.train.data.corpus import Corpus, prepare
from isoflop.train.step import objective
from tests.support.labs import make_lab, training_config

SOURCE = "synthetic:markov,vocab=16,branch=4"
WINDOWS = Windows(context_length=16, n_val_tokens=16 * 24)
MACHINE = Machine(flops_per_second=1e9, step_seconds=0.0, evaluation_seconds=0.0, memory_bytes=1e8)
TINY: dict[str, Any] = {
    "head_dim": 4,
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "num_key_value_heads": 2,
    "vocab_size": 16,
}
FEW: dict[str, Any] = {"train_batch_size": 4, "val_batch_size": 8, "n_evals": 3}


def tiny(architecture: dict[str, Any] | None = None, steps: int = 6, **fields: Any) -> TrainingConfig:
    tokens = 16 * fields.get("train_batch_size", 4) * steps
    return training_config(TINY | (architecture or {}), **FEW | {"total_train_tokens": tokens} | fields)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return prepare(SOURCE, "bytes")


@pytest.fixture
def lab(corpus: Corpus, tmp_path: Path) -> Lab:
    made = training_settings(corpus, MACHINE, WINDOWS)
    return make_lab(tmp_path / "lab", backend="train", **made, target_seconds=500.0)


@pytest.fixture
def flops_lab(lab: Lab) -> Lab:
    return replace(lab, settings=replace(lab.settings, budget_unit="flops"))


def trained(lab: Lab, config: TrainingConfig, report: Callable[[Any], None] = lambda _: None) -> Outcome:
    backend = load_backend(lab)
    assert run_violations(config, lab.settings, backend) == []
    return backend.train("ann", config, report)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_the_model_has_the_parameters_that_are_priced(bias: bool, tied: bool) -> None:
    architecture = training_config({"attention_bias": bias, "tie_word_embeddings": tied}).architecture_config
    model = model_config(architecture, 64)
    params = nnx.state(nnx.eval_shape(lambda: build(model, seed=0)), nnx.Param)
    priced = ledger(architecture, 64)
    assert sum(x.size for x in jax.tree.leaves(params)) == priced.params("total")
    for count in ("total", "non_embedding", "body"):
        assert model_ledger(model).params(count) == priced.params(count)
    assert model_ledger(model).train_flops == priced.train_flops


def plain_training(config: TrainingConfig, corpus: Corpus) -> float:
    """The held-out loss after training by textbook formulas, and gradients of the trainer's own loss."""
    context, batch, optimizer = 16, config.train_batch_size, config.optimizer_config
    model = nnx.split(build(model_config(config.architecture_config, context), seed=config.model_seed))
    graph, params = model
    n_steps = config.total_train_tokens // (batch * context)
    schedule = optimizer.lr_scheduler
    warmup = int(schedule.warmup_frac * n_steps)
    gradient_of = jax.jit(jax.grad(lambda p, w: objective(p, w, graph=graph)[0]))
    leaves, tree = jax.tree.flatten(params)
    theta = [np.asarray(x, np.float64) for x in leaves]
    m, v = [np.zeros_like(x) for x in theta], [np.zeros_like(x) for x in theta]
    for t in range(n_steps):
        windows = corpus.windows("train", context, corpus.draw(0, t * batch, (t + 1) * batch, context))
        now_at = jax.tree.unflatten(tree, [jnp.float32(x) for x in theta])
        g = [np.asarray(x, np.float64) for x in jax.tree.leaves(gradient_of(now_at, jnp.asarray(windows)))]
        norm = math.sqrt(sum(np.sum(x**2) for x in g))
        g = [x / max(1.0, norm / (optimizer.grad_clip_norm or math.inf)) for x in g]
        if t < warmup:
            rate = schedule.init_value + (schedule.peak_value - schedule.init_value) * t / warmup
        else:
            cosine = (1 + math.cos(math.pi * (t - warmup) / (n_steps - warmup))) / 2
            rate = schedule.peak_value * (schedule.final_lr_frac + (1 - schedule.final_lr_frac) * cosine)
        if not isinstance(optimizer, AdamWConfig):
            theta = [x - rate * d for x, d in zip(theta, g, strict=True)]
            continue
        b1, b2 = optimizer.beta1, optimizer.beta2
        m = [b1 * a + (1 - b1) * d for a, d in zip(m, g, strict=True)]
        v = [b2 * a + (1 - b2) * d**2 for a, d in zip(v, g, strict=True)]
        for i, x in enumerate(theta):
            first, second = m[i] / (1 - b1 ** (t + 1)), v[i] / (1 - b2 ** (t + 1))
            direction = first / (np.sqrt(second + optimizer.eps_root) + optimizer.eps)
            theta[i] = x - rate * (direction + optimizer.weight_decay * x)
    final = jax.tree.unflatten(tree, [jnp.float32(x) for x in theta])
    heldout = corpus.evaluation_windows("heldout", context, 24)
    return float(objective(final, jnp.asarray(heldout), graph=graph)[0])


@pytest.mark.parametrize(
    "optimizer",
    [
        {"lr_scheduler": {"peak_value": 0.03, "warmup_frac": 0.4, "init_value": 0.01}, "weight_decay": 0.5,
         "eps_root": 1e-4, "eps": 1e-3, "beta1": 0.8, "grad_clip_norm": 0.2},
        {"lr_scheduler": {"peak_value": 0.5, "final_lr_frac": 0.3}, "grad_clip_norm": None},
    ],
)  # fmt: skip
def test_training_is_the_contracts_optimizer_on_the_fixed_order(
    lab: Lab, corpus: Corpus, optimizer: dict[str, Any]
) -> None:
    config = tiny({"attention_bias": True}, optimizer_config=optimizer, model_seed=3)
    outcome = trained(lab, config)
    assert outcome.failure is None
    assert outcome.val_losses[-1] == pytest.approx(plain_training(config, corpus), abs=2e-5)
    assert outcome.val_losses[0] - outcome.val_losses[-1] > 0.01


def test_runs_are_the_same_to_the_bit_and_seeds_move_the_initialization(lab: Lab) -> None:
    told: list[tuple[float, ...]] = []
    config = tiny()
    first, again = (
        trained(lab, config, told.append),
        trained(lab, config.model_copy(update={"val_batch_size": 1})),
    )
    assert first.val_losses == again.val_losses
    assert told == [first.val_losses[:n] for n in (1, 2, 3)]
    assert trained(lab, tiny(model_seed=2**70 + 1)).val_losses != first.val_losses


def test_parameters_in_bfloat16_have_losses_in_float32(lab: Lab) -> None:
    # Enough that AdamW's moments and the parameters pass through many roundings.
    steady = {"lr_scheduler": {"peak_value": 0.01}}
    narrow, wide = (
        trained(lab, tiny({"dtype": dtype}, steps=60, optimizer_config=steady)).val_losses[-1]
        for dtype in ("bfloat16", "float32")
    )
    assert narrow == pytest.approx(wide, abs=0.05)
    assert narrow != float(jnp.bfloat16(narrow))


def seconds_by(calls: float) -> Callable[[], float]:
    """A clock that goes on by as much at each look at it."""
    ticks = itertools.count()
    return lambda: calls * next(ticks)


def test_a_run_is_stopped_at_the_step_that_passes_its_limit(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run.time, "perf_counter", seconds_by(1.0))  # every stretch and evaluation takes one
    config = tiny(steps=30, max_runtime_seconds=4.0)
    outcome = trained(lab, config)
    # One step, nine steps, an evaluation, one step of the next ten, and then past 4.08.
    assert (outcome.failure, outcome.used_seconds, len(outcome.val_losses)) == (TIMEOUT, 5.0, 1)
    whole = trained(lab, config.model_copy(update={"max_runtime_seconds": 1000.0}))
    assert (whole.failure, len(whole.val_losses)) == (None, 3)
    assert whole.val_losses[:1] == outcome.val_losses


def test_in_flops_a_run_is_charged_by_the_ledger(flops_lab: Lab) -> None:
    config = tiny()
    price = load_backend(flops_lab).price(config)
    exact = config.model_copy(update={"max_runtime_seconds": max(1.0, price.seconds)})
    assert trained(flops_lab, exact).used_seconds == pytest.approx(price.flops / 1e9, rel=1e-12)
    short = config.model_copy(update={"max_runtime_seconds": price.seconds * 0.6})
    stopped = Trainer(flops_lab).train("ann", short, lambda _: None)
    # Of six steps the fourth passes .6 * 1.02 of them.
    assert (stopped.failure, len(stopped.val_losses)) == (TIMEOUT, 1)
    assert stopped.used_seconds == pytest.approx(price.seconds * 4 / 6)


def test_a_run_that_diverges_says_so(lab: Lab) -> None:
    outcome = trained(lab, tiny(optimizer_config={"lr_scheduler": {"peak_value": 1e38, "warmup_frac": 0}}))
    assert outcome.failure is not None
    assert outcome.failure.startswith("diverged")
    assert all(math.isfinite(loss) for loss in outcome.val_losses)


@pytest.mark.parametrize(
    ("architecture", "fields", "field", "said"),
    [
        ({"vocab_size": 15}, {}, "vocab_size", "at least that of the lab's data, 16: 15"),
        ({}, {"total_train_tokens": 64 * 150}, "total_train_tokens", "at most the 9000 tokens"),
        ({"num_hidden_layers": 129}, {}, "num_hidden_layers", "at most 128"),
        ({"rope_theta": 10**400}, {}, "rope_theta", "at most 1000000000000"),
        ({"vocab_size": 10**7}, {}, "vocab_size", "* 4 bytes of float32 * 4"),
        ({}, {"train_batch_size": 15_000, "total_train_tokens": 16 * 45_000}, "train_batch_size",
         "240000 tokens of a batch * 1 layers * 248 numbers"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused_with_the_numbers(
    lab: Lab, architecture: dict[str, Any], fields: dict[str, Any], field: str, said: str
) -> None:
    assert lab.settings.data is not None
    data = replace(lab.settings.data, n_train_tokens=9000)
    settings = replace(lab.settings, data=data)
    backend, config = Trainer(replace(lab, settings=settings)), tiny(architecture, **fields)
    found = run_violations(config, settings, backend)
    assert found == final_violations(config, settings, backend)
    violation = next(one for one in found if field in one.fields)
    assert said in violation.message


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_numbers_that_are_kept_are_those_of_the_model(dtype: Any) -> None:
    of_hidden, of_inner = KEPT_FEATURES[dtype]
    for hidden, inner, heads, context in ((64, 192, 2, 64), (128, 192, 4, 128)):
        shape = {"hidden_size": hidden, "intermediate_size": inner, "num_attention_heads": heads}
        config = training_config(shape | {"head_dim": hidden // heads, "num_key_value_heads": heads})
        model = model_config(config.architecture_config, context)
        kept = activation_bytes(model, windows=3, dtype=dtype).block / (3 * context)
        size = 4 if dtype == "float32" else 2
        assert kept / size == pytest.approx(of_hidden * hidden + of_inner * inner + heads * context, rel=0.02)


def test_the_schedule_is_optaxs() -> None:
    rates = learning_rates(
        LrScheduler(peak_value=1.0, final_lr_frac=0.2, warmup_frac=0.25, init_value=0.5), 8
    )
    expected = [0.5, 0.75, *(0.2 + 0.4 * (1 + math.cos(math.pi * i / 6)) for i in range(6))]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    assert learning_rates(LrScheduler(warmup_frac=0.9), 1).tolist() == [np.float32(3e-4)]


class DeathError(Exception):
    """A worker's death, in this process."""


class DiesOnce:
    """The trainer in a worker that dies after the first evaluation."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner

    def train(self, student: str, config: TrainingConfig, report: Callable[[Any], None]) -> Outcome:
        def die(losses: tuple[float, ...]) -> None:
            report(losses)
            raise DeathError

        return self.inner.train(student, config, die)


def test_a_class_is_trained_graded_and_charged_once(lab: Lab) -> None:
    store, backend = open_store(lab, None), load_backend(lab)
    with store.write() as connection:
        ann = student_named(connection, "ann").id
        submit(connection, ann, tiny())
        job = claim(connection, "dead")
    assert job is not None
    with pytest.raises(DeathError):
        DiesOnce(backend).train("ann", job.config, lambda _: None)
    with store.write() as connection:
        assert release_jobs_of(connection, "dead") == 1
    assert run_next(store, backend, "alive")
    with store.read() as connection:
        (experiment,) = list_experiments(connection, ann)
        assert audit(connection) == []
    assert experiment.status.status_type == "completed"
    assert experiment.status.val_losses == backend.train("ann", tiny(), lambda _: None).val_losses
    with store.write() as connection:
        save_final(connection, ann, tiny(), 2.0)
        save_final(connection, student_named(connection, "bob").id, tiny(steps=30), 2.0)
        freeze(connection, now())
        jobs = jobs_to_run(connection, lab.settings, 2)
    assert run_finals(lab, store, jobs, 1, lambda job, outcome: None) == 0
    grades = grade_class(lab, store)
    store.close()
    bob, ann_grade = grades[:2]
    assert [grade.student for grade in grades] == ["bob", "ann", "eve"]
    assert ann_grade.final_losses[0] == experiment.status.val_losses[-1]
    assert ann_grade.run
    assert ann_grade.run.regret == pytest.approx(np.mean(ann_grade.final_losses) - np.mean(bob.final_losses))


def test_a_machine_is_found_again_from_its_timings() -> None:
    def timing(step_flops: float, evaluation_flops: float) -> Timing:
        return Timing(0.01 + step_flops / 1e10, step_flops, 0.5 + evaluation_flops / 1e10, evaluation_flops)

    found = machine_of(timing(1e6, 1e8), timing(5e9, 1e11), 2e9)
    assert (found.flops_per_second, found.step_seconds) == (pytest.approx(1e10), pytest.approx(0.01))
    assert (found.evaluation_seconds, found.memory_bytes) == (pytest.approx(0.5), 2e9)
    busy = machine_of(timing(5e9, 1e11), timing(1e6, 1e8), 2e9)
    assert busy.flops_per_second > 0


def test_init_measures_the_machine_and_refuses_what_it_cannot_make(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "WIDTHS", (8,))
    options = ["--students", "2", "--backend", "train", "--data", SOURCE, "--context-length", "16"]
    made = ["init", str(tmp_path / "lab"), *options, "--val-tokens", "384"]
    assert lab_command(made) == 0
    assert "this machine, measured: " in capsys.readouterr().out
    settings = open_lab(tmp_path / "lab").settings
    assert settings.data
    assert (settings.data.source, settings.data_vocab_size, settings.windows) == (SOURCE, 16, WINDOWS)
    assert settings.machine != Machine()
    with pytest.raises(UserError, match="holds a lab already"):
        lab_command(made)
    with pytest.raises(UserError, match=r"--val-tokens 100: must be a multiple"):
        lab_command(["init", str(tmp_path / "other"), *options, "--val-tokens", "100"])
    with pytest.raises(UserError, match="--data NAME"):
        load_backend(make_lab(tmp_path / "none", backend="train"))
    changed = replace(settings, data=replace(settings.data, digest="another"))
    backend = Trainer(replace(open_lab(tmp_path / "lab"), settings=changed))
    with pytest.raises(UserError, match="is not the text that the lab was made with"):
        backend.train("ann", tiny(), lambda _: None)
