"""Experiments: submitted against a budget, looked at by who submitted them, cancelled while they wait."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, insert, select, update

from isoflop.labs.contract.fields import now
from isoflop.labs.contract.messages import BudgetSummary, ExperimentResponse, SubmitResponse
from isoflop.labs.contract.statuses import Status
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.store.ledger import budget_summary, enter, granted_and_remaining
from isoflop.labs.store.tables import experiments, micros, moment, nanos

STATUS: TypeAdapter[Status] = TypeAdapter(Status)


class InsufficientBudgetError(Exception):
    """A reservation above what remains. `summary`: the budget without it."""

    def __init__(self, summary: BudgetSummary) -> None:
        super().__init__("insufficient budget")
        self.summary = summary


class AlreadyExistsError(Exception):
    """The student has an experiment of this config. `experiment_id`: which."""

    def __init__(self, experiment_id: int) -> None:
        super().__init__(f"experiment {experiment_id} has this config")
        self.experiment_id = experiment_id


class NotQueuedError(Exception):
    """An experiment that no longer waits cannot be cancelled. `state`: what it is instead."""

    def __init__(self, state: str) -> None:
        super().__init__(f"the experiment is {state}")
        self.state = state


def submit(connection: Connection, student_id: int, config: TrainingConfig) -> SubmitResponse:
    """Queues a config and reserves its seconds, within a writing transaction.

    Raises `InsufficientBudgetError`, and after it `AlreadyExistsError`; neither reserves.
    """
    reserved = nanos(config.max_runtime_seconds)
    if reserved > granted_and_remaining(connection, student_id)[1]:
        raise InsufficientBudgetError(budget_summary(connection, student_id))
    config_id = config.config_id
    if (found := _with_config(connection, student_id, config_id)) is not None:
        raise AlreadyExistsError(found)
    new = (
        insert(experiments)
        .values(
            student_id=student_id,
            config_id=config_id,
            config=config.model_dump_json(),
            reserved=reserved,
            state="queued",
            queued_at=micros(now()),
        )
        .returning(experiments.c.id)
    )
    experiment_id = connection.execute(new).scalar_one()
    enter(connection, student_id, "reserve", -reserved, experiment_id)
    return SubmitResponse(experiment_id=experiment_id, budget_summary=budget_summary(connection, student_id))


def cancel(connection: Connection, student_id: int, experiment_id: int) -> BudgetSummary | None:
    """Takes an experiment out of the queue and gives back its reservation, within a writing transaction.

    None where the student has no such experiment. Raises `NotQueuedError` once it was dispatched.
    """
    row = _own(connection, student_id, experiment_id)
    if row is None:
        return None
    if row.state != "queued":
        raise NotQueuedError(row.state)
    connection.execute(
        update(experiments)
        .where(experiments.c.id == experiment_id)
        .values(state="cancelled", ended_at=micros(now()))
    )
    enter(connection, student_id, "release", row.reserved, experiment_id, "cancelled")
    return budget_summary(connection, student_id)


def list_experiments(connection: Connection, student_id: int) -> list[ExperimentResponse]:
    """A student's experiments but for the cancelled ones, oldest queued first."""
    rows = connection.execute(
        select(experiments)
        .where(experiments.c.student_id == student_id, experiments.c.state != "cancelled")
        .order_by(experiments.c.queued_at, experiments.c.id)
    )
    return [_response(row) for row in rows]


def get_experiment(connection: Connection, student_id: int, experiment_id: int) -> ExperimentResponse | None:
    """One of a student's experiments; None for another's, a cancelled one, or none."""
    row = _own(connection, student_id, experiment_id)
    return None if row is None else _response(row)


def _own(connection: Connection, student_id: int, experiment_id: int) -> Row[Any] | None:
    if not 0 < experiment_id < 2**63:
        return None
    return connection.execute(
        select(experiments).where(
            experiments.c.id == experiment_id,
            experiments.c.student_id == student_id,
            experiments.c.state != "cancelled",
        )
    ).first()


def _with_config(connection: Connection, student_id: int, config_id: str) -> int | None:
    return connection.execute(
        select(experiments.c.id).where(
            experiments.c.student_id == student_id,
            experiments.c.config_id == config_id,
            experiments.c.state != "cancelled",
        )
    ).scalar()


def _response(row: Row[Any]) -> ExperimentResponse:
    return ExperimentResponse(
        experiment_id=row.id,
        training_config=TrainingConfig.model_validate_json(row.config),
        status=_status(row),
    )


def _status(row: Row[Any]) -> Status:
    fields: dict[str, Any] = {"status_type": row.state, "queued_at": moment(row.queued_at)}
    if row.state != "queued":
        fields |= {"dispatched_at": moment(row.dispatched_at), "run_id": row.run_id}
    if row.state in ("running", "completed"):
        fields["val_losses"] = json.loads(row.val_losses)
    if row.state in ("completed", "failed"):
        fields["used_runtime_seconds"] = row.used_seconds
        fields[f"{row.state}_at"] = moment(row.ended_at)
    if row.state == "failed":
        fields["reason"] = json.loads(row.reason)
    return STATUS.validate_python(fields)
