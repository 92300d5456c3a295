"""One student's final submission, judged by the student's own law, or among the class where none is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from isoflop.base.errors import UserError
from isoflop.base.formatting import pluralize
from isoflop.labs.backends import load_backend
from isoflop.labs.backends.backend import TIMEOUT, Backend, Outcome
from isoflop.labs.backends.surrogate import Surrogate, expected_losses, recipe_at_evaluations
from isoflop.labs.contract.interval import Interval
from isoflop.labs.contract.messages import BudgetSummary
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.grading.best_config import Best, best_config
from isoflop.labs.grading.finals import final_run_config, runs_of
from isoflop.labs.grading.standings import Standing, standings
from isoflop.labs.lab import Lab
from isoflop.labs.pricing import Price
from isoflop.labs.settings import Settings
from isoflop.labs.store.database import Database
from isoflop.labs.store.experiments import list_experiments
from isoflop.labs.store.final_runs import all_final_runs
from isoflop.labs.store.finals import Final, all_finals
from isoflop.labs.store.ledger import budget_summary
from isoflop.labs.store.students import all_students
from isoflop.labs.truth import Truth, truth_of


@dataclass(frozen=True)
class FinalRun:
    """What came of a final submission at the target budget.

    `loss`: of the run, its seed's noise included, in nats per token; None where it diverged or was stopped
    before its first evaluation. `regret`: how much more loss is to be expected of it than of the best config,
    without noise; where no law is known, its mean over the seeds less the class's least. `losses_by_choice`:
    the regret, divided among the choices that made it; empty where no law is known. `note`: why it was not
    run to its end.
    """

    config: TrainingConfig
    price: Price
    loss: float | None
    regret: float | None
    losses_by_choice: dict[str, float]
    note: str = ""


@dataclass(frozen=True)
class Grade:
    """A student's result. `truth` is None where the lab's backend knows no law. `best` is None there, and
    where the target budget pays for no config at all."""

    student: str
    n_runs: int
    budget: BudgetSummary
    truth: Truth | None
    best: Best | None
    final: Final | None = None
    run: FinalRun | None = None
    interval: Interval | None = None
    interval_loss: float | None = None
    """What came of the interval submission's config."""
    final_losses: tuple[float, ...] = ()
    """Of each seed that `isoflop lab finals` ran at the target, the submitted one first."""
    standing: Standing | None = None
    """The place among the class, ties included; None before `isoflop lab finals`, or without a loss."""

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


@dataclass(frozen=True)
class _Work:
    """What a student handed in, and the runs that `isoflop lab finals` made of it."""

    student: str
    n_runs: int
    budget: BudgetSummary
    final: Final | None
    interval: Final | None
    runs: list[Outcome]
    interval_runs: list[Outcome]


def grade_class(lab: Lab, store: Database) -> list[Grade]:
    """Every student's grade: the least regret first, then those without a result.

    Raises `UserError` for a lab without known laws whose final submissions are not all run.
    """
    backend = load_backend(lab)
    work = _handed_in(lab.settings, store)
    if isinstance(backend, Surrogate):
        grades = _with_standings([_grade_by_law(backend, one) for one in work])
    else:
        grades = _grade_by_class(backend, work)
    return sorted(grades, key=_order)


def _handed_in(settings: Settings, store: Database) -> list[_Work]:
    with store.read() as connection:
        finals, intervals = all_finals(connection), all_finals(connection, with_interval=True)
        runs = all_final_runs(connection)

        def runs_made(student: int, final: Final | None) -> list[Outcome]:
            return [] if final is None else runs_of(runs, student, final.config, settings)

        return [
            _Work(
                student.name,
                len(list_experiments(connection, student.id)),
                budget_summary(connection, student.id),
                final := finals.get(student.id),
                interval := intervals.get(student.id),
                runs_made(student.id, final),
                runs_made(student.id, interval),
            )
            for student in all_students(connection)
        ]


def _order(grade: Grade) -> tuple[bool, float, str]:
    regret = None if grade.run is None else grade.run.regret
    return regret is None, regret or 0.0, grade.student


def _grade_by_law(backend: Surrogate, work: _Work) -> Grade:
    """The grade by the student's own law, which needs no run that `isoflop lab finals` made."""
    student = work.student
    truth = truth_of(backend.lab.secret, student)
    best = best_config(truth, backend.lab.settings)
    run = None
    if work.final is not None:
        best = _no_worse_than(best, backend, truth, work.final.config)
        run = final_run(backend, student, truth, work.final.config, best)
    of_interval = None
    if work.interval is not None:
        of_interval = final_run(backend, student, truth, work.interval.config, best).loss
    return Grade(
        student=student,
        n_runs=work.n_runs,
        budget=work.budget,
        truth=truth,
        best=best,
        final=work.final,
        run=run,
        interval=work.interval and work.interval.interval,
        interval_loss=of_interval,
        final_losses=_losses(work.runs),
    )


def _with_standings(grades: list[Grade]) -> list[Grade]:
    """With ranks by each seed's loss over that of the best config of the student's own law."""
    over_best = {
        grade.student: tuple(loss - grade.best.loss for loss in grade.final_losses)
        for grade in grades
        if grade.best is not None and grade.final_losses
    }
    places = standings(over_best)
    return [replace(grade, standing=places.get(grade.student)) for grade in grades]


def _grade_by_class(backend: Backend, work: list[_Work]) -> list[Grade]:
    """Grades by what was trained, where no law is known: regret is over the best final of the class."""
    missing = sum(
        (one.final is not None and not one.runs) + (one.interval is not None and not one.interval_runs)
        for one in work
    )
    if missing:
        raise UserError(
            f"{pluralize(missing, 'submission')} of the class still to be run at the target: "
            "isoflop lab finals DIR"
        )
    losses = {one.student: _losses(one.runs) for one in work}
    places = standings({student: values for student, values in losses.items() if values})
    best = min((place.mean for place in places.values()), default=0.0)
    return [
        Grade(
            student=one.student,
            n_runs=one.n_runs,
            budget=one.budget,
            truth=None,
            best=None,
            final=one.final,
            run=one.final and _run_made(backend, one.final.config, one.runs, best),
            interval=one.interval and one.interval.interval,
            interval_loss=_last_loss(one.interval_runs[0]) if one.interval_runs else None,
            final_losses=losses[one.student],
            standing=places.get(one.student),
        )
        for one in work
    ]


def _run_made(backend: Backend, config: TrainingConfig, runs: list[Outcome], best: float) -> FinalRun:
    """What came of a final submission; `best`: the class's least mean loss."""
    price, own, losses = backend.price(config), runs[0], _losses(runs)
    bad = next((run.failure for run in runs if _last_loss(run) is None), None)
    note = bad or (_stopped(len(own.val_losses), config, price) if own.failure == TIMEOUT else "")
    regret = float(np.mean(losses)) - best if losses else None
    return FinalRun(config, price, _last_loss(own), regret, {}, note)


def _losses(runs: list[Outcome]) -> tuple[float, ...]:
    """The last loss of each seed; empty where one of them has none: a config that some seeds diverge of has
    no mean loss."""
    losses = [_last_loss(run) for run in runs]
    return tuple(loss for loss in losses if loss is not None) if None not in losses else ()


def _last_loss(run: Outcome) -> float | None:
    """The last loss before the target's end; None for a run that failed."""
    return run.val_losses[-1] if run.failure in (None, TIMEOUT) and run.val_losses else None


def _stopped(n_evals: int, config: TrainingConfig, price: Price) -> str:
    costs = pluralize(price.seconds, "second", ".6g")
    return f"stopped at evaluation {n_evals} of {config.n_evals}: costs {costs}"


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
    outcome = backend.train(student, final_run_config(config, settings), _ignore)
    if _last_loss(outcome) is None:
        return FinalRun(config, price, None, None, {}, outcome.failure or "no evaluation")
    last = len(outcome.val_losses) - 1
    note = _stopped(last + 1, config, price) if outcome.failure == TIMEOUT else ""
    expected = float(expected_losses(truth, config, settings)[last])
    regret = None if best is None else expected - best.loss
    parts = {} if best is None else _by_choice(backend, truth, config, last, best)
    return FinalRun(config, price, outcome.val_losses[-1], regret, parts, note)


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
