"""The instructor's calls: the class at a glance, refunds, and more budget. They take the server's own token,
which is new at each start; no student's key opens them."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException

from isoflop.base.errors import UserError
from isoflop.labs.contract.instructor import (
    ClassOverview,
    GivenResponse,
    GrantRequest,
    RefundRequest,
    RunOverview,
    StudentOverview,
)
from isoflop.labs.server.gate import InstructorRoute
from isoflop.labs.server.service import Lent
from isoflop.labs.store.freezing import deadline
from isoflop.labs.store.overview import Run, ended, spending, unfinished
from isoflop.labs.store.refunds import grant, refund_experiment
from isoflop.labs.store.students import student_named

router = APIRouter(prefix="/instructor", route_class=InstructorRoute)


@router.get("/overview")
def get_overview(service: Lent) -> ClassOverview:
    """Who has spent what, what runs and waits, what ended last."""
    with service.store.read() as connection:
        at, spent = deadline(connection), spending(connection)
        waiting, over = unfinished(connection), ended(connection)
    return ClassOverview(
        deadline=at,
        students=tuple(
            StudentOverview(
                student=one.student,
                budget_summary=one.budget,
                queued=one.counts["queued"],
                running=one.counts["running"],
                completed=one.counts["completed"],
                failed=one.counts["failed"],
                has_final=one.has_final,
            )
            for one in spent
        ),
        unfinished=tuple(map(_run, waiting)),
        ended=tuple(map(_run, over)),
    )


@router.post("/refund", responses={409: {"description": "Nothing of it can be given back"}})
def refund(asked: RefundRequest, service: Lent) -> GivenResponse:
    """Give back what a run paid."""
    try:
        with service.store.write() as connection:
            given = refund_experiment(connection, asked.experiment_id, asked.seconds, asked.reason)
    except UserError as error:
        raise HTTPException(409, str(error)) from None
    return GivenResponse(seconds=given)


@router.post("/grant", responses={409: {"description": "No such student"}})
def grant_seconds(asked: GrantRequest, service: Lent) -> GivenResponse:
    """Add to a student's budget."""
    try:
        with service.store.write() as connection:
            student = student_named(connection, asked.student)
            grant(connection, student.id, asked.seconds, asked.reason)
    except UserError as error:
        raise HTTPException(409, str(error)) from None
    return GivenResponse(seconds=asked.seconds)


def _run(run: Run) -> RunOverview:
    return RunOverview.model_validate(vars(run))
