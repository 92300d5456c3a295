"""The contract's calls: what the course's client knows."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from isoflop.labs.admission import final_violations, run_violations
from isoflop.labs.contract.messages import (
    ALREADY_EXISTS,
    NOT_FOUND,
    BudgetSummary,
    ExperimentResponse,
    FinalSubmissionRequest,
    FinalSubmissionResponse,
    InsufficientBudget,
    SubmitResponse,
)
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.server.gate import Caller, StudentRoute
from isoflop.labs.server.refusals import refuse_fields
from isoflop.labs.server.service import Lent, refuse_if_frozen
from isoflop.labs.store import experiments
from isoflop.labs.store.finals import Final, last_final, save_final
from isoflop.labs.store.ledger import budget_summary

router = APIRouter(route_class=StudentRoute)


@router.get("/budget")
def get_budget(caller: Caller, service: Lent) -> BudgetSummary:
    """What you have used, reservations counted, and what remains."""
    with service.store.read() as connection:
        return budget_summary(connection, caller.id)


@router.post(
    "/submit",
    response_model=SubmitResponse,
    responses={400: {"description": "Insufficient budget"}, 409: {"description": "Submitted before"}},
)
def submit(
    config: TrainingConfig, caller: Caller, service: Lent, request: Request
) -> SubmitResponse | Response:
    """Queue a run, and reserve its max_runtime_seconds."""
    refuse_fields(run_violations(config, service.lab.settings, service.backend))
    with service.store.write() as connection:
        refuse_if_frozen(connection)
        try:
            return experiments.submit(connection, caller.id, config)
        except experiments.InsufficientBudgetError as refused:
            detail = InsufficientBudget(budget_summary=refused.summary).model_dump()
            return JSONResponse({"detail": detail}, 400)
        except experiments.AlreadyExistsError as refused:
            where = {"Location": f"{request.scope['root_path']}/experiment/{refused.experiment_id}"}
            return JSONResponse({"detail": ALREADY_EXISTS}, 409, where)


@router.get("/experiments")
def list_experiments(caller: Caller, service: Lent) -> list[ExperimentResponse]:
    """All of your runs, oldest first."""
    with service.store.read() as connection:
        return experiments.list_experiments(connection, caller.id)


@router.get("/experiment/{experiment_id}", responses={404: {"description": "Not yours, or none"}})
def get_experiment(experiment_id: int, caller: Caller, service: Lent) -> ExperimentResponse:
    """One of your runs."""
    with service.store.read() as connection:
        found = experiments.get_experiment(connection, caller.id, experiment_id)
    if found is None:
        raise HTTPException(404, NOT_FOUND)
    return found


@router.get("/final_submission")
def get_final_submission(caller: Caller, service: Lent) -> FinalSubmissionResponse | None:
    """Your final submission, or null."""
    with service.store.read() as connection:
        final = last_final(connection, caller.id)
    return None if final is None else _response(final)


@router.post("/final_submission")
def save_final_submission(
    submission: FinalSubmissionRequest, caller: Caller, service: Lent
) -> FinalSubmissionResponse:
    """Say what you would train at the target budget, and the loss it will have. The last one counts."""
    config = submission.training_config
    refuse_fields(final_violations(config, service.lab.settings, service.backend), "training_config")
    with service.store.write() as connection:
        refuse_if_frozen(connection)
        return _response(save_final(connection, caller.id, config, submission.predicted_final_loss))


def _response(final: Final) -> FinalSubmissionResponse:
    return FinalSubmissionResponse(
        training_config=final.config,
        predicted_final_loss=final.predicted_final_loss,
        submitted_at=final.submitted_at,
    )
