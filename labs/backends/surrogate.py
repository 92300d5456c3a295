"""Answers at once from the student's own law, with seeded noise: a reference machine's seconds are charged.

A run's noise depends on what would change real training: not on the reservation, nor on when it is evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from isoflop.base.json_values import content_id
from isoflop.labs.backends.backend import Outcome
from isoflop.labs.backends.clock import outcome
from isoflop.labs.contract.rules import Violation
from isoflop.labs.contract.training_config import SGDConfig, TrainingConfig
from isoflop.labs.lab import Lab
from isoflop.labs.pricing import Price, too_large
from isoflop.labs.settings import Settings
from isoflop.labs.truth import Recipe, Truth, random_of, truth_of

EVALUATION_NOISE = 0.3
"""Of the seeds' standard deviation: how far an evaluation strays from its run's own curve."""

FREQUENCIES_GAIN, FREQUENCIES_TOKENS = 3.0, 1e6
"""Nats that knowing how frequent each token is saves, and the tokens that this takes."""


@dataclass(frozen=True)
class Surrogate:
    """The lab's students' laws."""

    lab: Lab

    def violations(self, config: TrainingConfig) -> Iterator[Violation]:
        settings = self.lab.settings
        yield from too_large(config, settings.machine, settings.windows.context_length)

    def final_violations(self, config: TrainingConfig) -> Iterator[Violation]:
        return self.violations(config)

    def price(self, config: TrainingConfig) -> Price:
        return self.lab.settings.price(config)

    def train(
        self, student: str, config: TrainingConfig, report: Callable[[tuple[float, ...]], None]
    ) -> Outcome:
        truth, cost, grace = truth_of(self.lab.secret, student), self.price(config), self.lab.settings.grace
        if diverges(truth, config, recipe_of(config, self.lab.settings)):
            return outcome(config, cost, (), grace, "diverged: the loss became NaN")
        return outcome(config, cost, self._losses(truth, student, config), grace)

    def _losses(self, truth: Truth, student: str, config: TrainingConfig) -> tuple[float, ...]:
        """The held-out loss at each evaluation."""
        curve = expected_losses(truth, config, self.lab.settings)
        trained = config.model_copy(update={"max_runtime_seconds": 1.0, "n_evals": 1, "val_batch_size": 1})
        run = content_id(trained)
        tokens = config.total_train_tokens // config.n_evals * np.arange(1, config.n_evals)
        noise = [random_of(self.lab.secret, student, "evaluation", run, str(t)).normal() for t in tokens]
        of_run = random_of(self.lab.secret, student, "run", run).normal()
        strayed = truth.seed_noise * (of_run + EVALUATION_NOISE * np.array([*noise, 0.0]))
        return tuple(float(loss) for loss in curve + strayed)


def expected_losses(truth: Truth, config: TrainingConfig, settings: Settings) -> np.ndarray:
    """The law's loss at each evaluation, without noise."""
    at = recipe_at_evaluations(config, settings)
    return np.minimum(truth.loss(at), beginners_loss(settings, at.tokens))


def recipe_at_evaluations(config: TrainingConfig, settings: Settings) -> Recipe:
    """What moves the loss, with the tokens and the learning rate of each evaluation."""
    done = np.arange(1, config.n_evals + 1) / config.n_evals
    recipe = recipe_of(config, settings)
    return replace(recipe, tokens=recipe.tokens * done, rate_left=rate_left(config, done))


def diverges(truth: Truth, config: TrainingConfig, recipe: Recipe) -> bool:
    """Whether the learning rate is anywhere so high that the loss becomes NaN."""
    schedule = config.optimizer_config.lr_scheduler
    highest = max(schedule.peak_value, schedule.init_value)
    return bool(highest > truth.diverges_at * truth.best_rate_at(recipe))


def beginners_loss(settings: Settings, tokens: float | np.ndarray) -> np.ndarray:
    """The most that a run loses, in nats per token: before training all of the data's tokens are equally
    likely, and their frequencies are learnt first of all."""
    learnt = FREQUENCIES_GAIN * (1 - np.exp(-np.asarray(tokens) / FREQUENCIES_TOKENS))
    return math.log(settings.data_vocab_size) - learnt


def recipe_of(config: TrainingConfig, settings: Settings) -> Recipe:
    """What of a config moves its loss."""
    a, optimizer = config.architecture_config, config.optimizer_config
    known, text = math.log1p(a.vocab_size), math.log1p(settings.data_vocab_size)
    return Recipe(
        n_params=float(settings.price(config).n_params_non_embedding),
        tokens=float(config.total_train_tokens),
        batch_tokens=float(config.train_batch_size * settings.windows.context_length),
        rate=optimizer.lr_scheduler.peak_value,
        rate_left=optimizer.lr_scheduler.final_lr_frac,
        aspect=a.hidden_size / a.num_hidden_layers,
        ff_ratio=a.intermediate_size / a.hidden_size,
        unknown=max(0.0, 1 - known / text),  # frequencies after Zipf: harmonic numbers
        sgd=isinstance(optimizer, SGDConfig),
        bfloat16=a.dtype == "bfloat16",
    )


def rate_left(config: TrainingConfig, done: np.ndarray) -> np.ndarray:
    """The learning rate over its peak, where a share `done` of the steps is done: linear, then a cosine."""
    schedule = config.optimizer_config.lr_scheduler
    warmup, end = schedule.warmup_frac, schedule.final_lr_frac
    start = min(schedule.init_value, 100 * schedule.peak_value) / schedule.peak_value  # no overflow
    rising = start + (1 - start) * done / warmup if warmup else np.ones_like(done)
    cosine = (1 + np.cos(np.pi * np.clip((done - warmup) / (1 - warmup), 0, 1))) / 2
    return np.where(done < warmup, rising, end + (1 - end) * cosine)


def open_backend(lab: Lab) -> Surrogate:
    """The surrogate of a lab."""
    return Surrogate(lab)
