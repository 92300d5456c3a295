"""Calls beyond the contract: a price before paying, the rules, cancelling, intervals."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException

from isoflop.labs.admission import final_violations, run_violations
from isoflop.labs.contract.additions import (
    CancelResponse,
    Estimate,
    LabRules,
    LeaderboardPlace,
    LeaderboardResponse,
    ReceiptResponse,
)
from isoflop.labs.contract.interval import Interval, IntervalSubmissionRequest, IntervalSubmissionResponse
from isoflop.labs.contract.messages import NOT_FOUND
from isoflop.labs.contract.rules import Violation
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.receipts import receipt
from isoflop.labs.server.gate import Caller, StudentRoute
from isoflop.labs.server.refusals import refuse_fields
from isoflop.labs.server.service import Lent, refuse_if_frozen
from isoflop.labs.store.experiments import NotQueuedError, cancel, get_experiment
from isoflop.labs.store.finals import Final, last_final, save_final
from isoflop.labs.store.freezing import deadline, frozen_since
from isoflop.labs.store.leaderboard import published
from isoflop.labs.store.ledger import budget_summary

router = APIRouter(route_class=StudentRoute)


@router.get("/lab")
def lab_rules(caller: Caller, service: Lent) -> LabRules:
    """What holds for every student."""
    settings = service.lab.settings
    with service.store.read() as connection:
        at, budget = deadline(connection), budget_summary(connection, caller.id)
    return LabRules(
        budget_unit=settings.budget_unit,
        total_budget_seconds=budget.total_budget_seconds,
        target_seconds=settings.target_seconds,
        grace=settings.grace,
        flops_per_second=settings.machine.flops_per_second,
        context_length=settings.windows.context_length,
        n_val_tokens=settings.windows.n_val_tokens,
        vocab_size=settings.data_vocab_size,
        deadline=at,
    )


@router.post("/estimate")
def estimate(config: TrainingConfig, caller: Caller, service: Lent) -> Estimate:
    """What a run would cost. Free; nothing is queued."""
    settings = service.lab.settings
    refuse_fields(run_violations(config, settings, service.backend))
    price = service.backend.price(config)
    with service.store.read() as connection:
        remaining = budget_summary(connection, caller.id).remaining_seconds
    return Estimate(
        n_params_total=price.n_params_total,
        n_params_non_embedding=price.n_params_non_embedding,
        flops=price.flops,
        seconds=price.seconds,
        fits_reservation=price.seconds <= config.max_runtime_seconds * (1 + settings.grace),
        remaining_seconds=remaining,
    )


@router.post(
    "/experiment/{experiment_id}/cancel",
    responses={404: {"description": "Not yours, or none"}, 409: {"description": "No longer queued"}},
)
def cancel_experiment(experiment_id: int, caller: Caller, service: Lent) -> CancelResponse:
    """Take a run out of the queue while it waits: its reservation comes back, and it is no longer listed."""
    with service.store.write() as connection:
        try:
            summary = cancel(connection, caller.id, experiment_id)
        except NotQueuedError as refused:
            raise HTTPException(
                409, f"the experiment is {refused.state}: only a queued one is cancelled"
            ) from None
    if summary is None:
        raise HTTPException(404, NOT_FOUND)
    return CancelResponse(experiment_id=experiment_id, budget_summary=summary)


@router.get(
    "/experiment/{experiment_id}/receipt",
    responses={404: {"description": "Not yours, or none"}, 409: {"description": "Not completed"}},
)
def get_receipt(experiment_id: int, caller: Caller, service: Lent) -> ReceiptResponse:
    """A line for your write-up that proves a completed run's result."""
    with service.store.read() as connection:
        run = get_experiment(connection, caller.id, experiment_id)
    if run is None:
        raise HTTPException(404, NOT_FOUND)
    line = receipt(service.lab, caller.name, run)
    if line is None:
        raise HTTPException(
            409, f"the experiment is {run.status.status_type}: only a completed one has a receipt"
        )
    return ReceiptResponse(experiment_id=experiment_id, receipt=line)


@router.get(
    "/leaderboard",
    responses={
        403: {"description": "Before the deadline, or a lab without one"},
        404: {"description": "Nothing is ranked yet"},
    },
)
def get_leaderboard(caller: Caller, service: Lent) -> LeaderboardResponse:
    """The ranks of the final submissions, once the deadline is past and they are graded."""
    shown = service.lab.settings.leaderboard
    if shown == "off":
        raise HTTPException(403, "this lab has no leaderboard")
    with service.store.read() as connection:
        since, places = frozen_since(connection), published(connection)
    if since is None:
        raise HTTPException(403, "the leaderboard opens after the deadline")
    if not places:
        raise HTTPException(404, "the final submissions are not ranked yet")
    return LeaderboardResponse(
        places=tuple(
            LeaderboardPlace(
                rank=place.rank,
                name=place.student if shown == "names" else service.lab.pseudonym(place.student),
                value=place.value,
                n_seeds=place.n_seeds,
                is_you=place.student == caller.name,
            )
            for place in places
        )
    )


@router.get("/final_submission/interval")
def get_interval_submission(caller: Caller, service: Lent) -> IntervalSubmissionResponse | None:
    """Your interval submission, or null."""
    with service.store.read() as connection:
        final = last_final(connection, caller.id, with_interval=True)
    return None if final is None or final.interval is None else _response(final, final.interval)


@router.post("/final_submission/interval")
def save_interval_submission(
    submission: IntervalSubmissionRequest, caller: Caller, service: Lent
) -> IntervalSubmissionResponse:
    """A final submission with an interval for the loss, scored by the interval score. The last one counts."""
    config, interval = submission.training_config, submission.interval
    refuse_fields(final_violations(config, service.lab.settings, service.backend), "training_config")
    loss = submission.predicted_final_loss
    if not interval.low <= loss <= interval.high:
        message = f"low <= predicted_final_loss <= high must hold: {interval.low}, {loss}, {interval.high}"
        refuse_fields([Violation(("predicted_final_loss", "interval", "low", "high"), message)])
    with service.store.write() as connection:
        refuse_if_frozen(connection)
        return _response(save_final(connection, caller.id, config, loss, interval), interval)


def _response(final: Final, interval: Interval) -> IntervalSubmissionResponse:
    return IntervalSubmissionResponse(
        training_config=final.config,
        predicted_final_loss=final.predicted_final_loss,
        interval=interval,
        submitted_at=final.submitted_at,
    )
