"""One student's final submission, judged by the student's own law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.base.errors import UserError
from isoflop.labs.backends import load_backend
from isoflop.labs.backends.backend import TIMEOUT
from isoflop.labs.backends.surrogate import Surrogate, expected_losses, recipe_at_evaluations
from isoflop.labs.contract.interval import Interval
from isoflop.labs.contract.messages import BudgetSummary
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.grading.best_config import Best, best_config
from isoflop.labs.lab import Lab
from isoflop.labs.pricing import Price
from isoflop.labs.store.database import Database
from isoflop.labs.store.experiments import list_experiments
from isoflop.labs.store.finals import Final, all_finals
from isoflop.labs.store.ledger import budget_summary
from isoflop.labs.store.students import all_students
from isoflop.labs.truth import Truth, truth_of


@dataclass(frozen=True)
class FinalRun:
    """What came of a final submission at the target budget.

    `loss`: of the run, its seed's noise included, in nats per token; None where it diverged or was stopped
    before its first evaluation. `regret`: how much more loss is to be expected of it than of the best config,
    without noise. `losses_by_choice`: the regret, divided among the choices that made it. `note`: why it was
    not run to its end.
    """

    config: TrainingConfig
    price: Price
    loss: float | None
    regret: float | None
    losses_by_choice: dict[str, float]
    note: str = ""


@dataclass(frozen=True)
class Grade:
    """A student's result. `best` is None where the target budget pays for no config at all."""

    student: str
    n_runs: int
    budget: BudgetSummary
    truth: Truth
    best: Best | None
    final: Final | None = None
    run: FinalRun | None = None
    interval: Interval | None = None
    interval_loss: float | None = None
    """What came of the interval submission's config."""

    @property
    def prediction_error(self) -> float | None:
        """The predicted loss less the run's, in nats per token."""
        if self.final is None or self.run is None or self.run.loss is None:
            return None
        return self.final.predicted_final_loss - self.run.loss

    @property
    def covered(self) -> bool | None:
        """Whether the interval holds the loss of its config."""
        if self.interval is None or self.interval_loss is None:
            return None
        return self.interval.low <= self.interval_loss <= self.interval.high

    @property
    def interval_score(self) -> float | None:
        """The interval score: the lower the better."""
        if self.interval is None or self.interval_loss is None:
            return None
        return self.interval.score(self.interval_loss)


def grade_class(lab: Lab, store: Database) -> list[Grade]:
    """Every student's grade: the least regret first, then those without a result.

    Raises `UserError` for a backend without a truth to grade by.
    """
    backend = load_backend(lab)
    if not isinstance(backend, Surrogate):
        raise UserError(
            f"backend {lab.settings.backend}: has no known truth to grade by; isoflop lab data has each "
            "student's runs"
        )
    with store.read() as connection:
        finals, intervals = all_finals(connection), all_finals(connection, with_interval=True)
        grades = [
            _grade(
                backend,
                student.name,
                len(list_experiments(connection, student.id)),
                budget_summary(connection, student.id),
                finals.get(student.id),
                intervals.get(student.id),
            )
            for student in all_students(connection)
        ]
    return sorted(grades, key=_order)


def _order(grade: Grade) -> tuple[bool, float, str]:
    regret = None if grade.run is None else grade.run.regret
    return regret is None, regret or 0.0, grade.student


def _grade(
    backend: Surrogate,
    student: str,
    n_runs: int,
    budget: BudgetSummary,
    final: Final | None,
    interval: Final | None,
) -> Grade:
    truth = truth_of(backend.lab.secret, student)
    best = best_config(truth, backend.lab.settings)
    run = None
    if final is not None:
        best = _no_worse_than(best, backend, truth, final.config)
        run = final_run(backend, student, truth, final.config, best)
    of_interval = None
    if interval is not None:
        of_interval = final_run(backend, student, truth, interval.config, best).loss
    return Grade(
        student, n_runs, budget, truth, best, final, run, interval and interval.interval, of_interval
    )


def _no_worse_than(
    best: Best | None, backend: Surrogate, truth: Truth, config: TrainingConfig
) -> Best | None:
    """The best known config: the search's, or the student's own where that is better still."""
    settings = backend.lab.settings
    if backend.price(config).seconds > settings.target_seconds:
        return best
    own = Best(config, float(expected_losses(truth, config, settings)[-1]))
    return own if best is None or own.loss < best.loss else best


def final_run(
    backend: Surrogate, student: str, truth: Truth, config: TrainingConfig, best: Best | None
) -> FinalRun:
    """Runs a final submission with the target budget as its reservation, without grace."""
    settings = backend.lab.settings
    price = backend.price(config)
    outcome = backend.train(student, config.model_copy(update=_at_target(settings.target_seconds)), _ignore)
    if outcome.failure not in (None, TIMEOUT) or not outcome.val_losses:
        return FinalRun(config, price, None, None, {}, outcome.failure or "no evaluation")
    last = len(outcome.val_losses) - 1
    note = ""
    if outcome.failure == TIMEOUT:
        note = f"stopped at evaluation {last + 1} of {config.n_evals}: costs {price.seconds:.6g} seconds"
    expected = float(expected_losses(truth, config, settings)[last])
    regret = None if best is None else expected - best.loss
    parts = {} if best is None else _by_choice(backend, truth, config, last, best)
    return FinalRun(config, price, outcome.val_losses[-1], regret, parts, note)


def _at_target(seconds: float) -> dict[str, float]:
    return {"max_runtime_seconds": seconds}


def _by_choice(
    backend: Surrogate, truth: Truth, config: TrainingConfig, last: int, best: Best
) -> dict[str, float]:
    """By choice, the nats that the config loses to the best one."""
    settings = backend.lab.settings

    def terms(of: TrainingConfig, evaluation: int) -> dict[str, float]:
        found = truth.terms(recipe_at_evaluations(of, settings))
        return {name: float(np.broadcast_to(value, of.n_evals)[evaluation]) for name, value in found.items()}

    own, ideal = terms(config, last), terms(best.config, -1)
    return {name: own[name] - ideal[name] for name in own}


def _ignore(_: tuple[float, ...]) -> None:
    """Takes losses that nobody waits for."""
