"""The application: calls, pages, and what stands around them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Security
from fastapi.middleware.cors import CORSMiddleware
from fastapi.security import APIKeyHeader

from isoflop.labs.server import contract_calls, fit_calls, further_calls, instructor_calls, pages
from isoflop.labs.server.gate import KEY_HEADER, Gate, Limits
from isoflop.labs.server.headers import SecurityHeaders
from isoflop.labs.server.refusals import add_refusals
from isoflop.labs.server.service import Service

LOCALHOST = r"https?://(localhost|127\.0\.0\.1)(:\d+)?"
"""Where the course's own page may be opened from; as a file its origin is `null`."""

REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "No key, or an unknown one"},
    403: {"description": "The lab is frozen"},
    413: {"description": "The body is too long"},
    429: {"description": "Too many calls, or wrong keys: Retry-After says how long to wait"},
    503: {"description": "The lab's database is out of reach"},
}
"""What any call may be answered with."""


def create_app(served: Service, practice: Service | None = None, token: str | None = None) -> FastAPI:
    """The lab's application, with the practice lab's below /practice; what runs the jobs is beside it.

    `token`: opens the instructor's calls; None: nothing does.
    """
    limits = Limits()
    app = _calls(served, Gate(served.lab, served.store, limits, token))
    app.include_router(instructor_calls.router, tags=["the instructor's"], responses=REFUSALS)
    app.include_router(pages.instructor)
    if practice is not None:
        app.mount("/practice", _calls(practice, Gate(practice.lab, practice.store, limits)))
    app.add_middleware(SecurityHeaders)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["null"],
        allow_origin_regex=LOCALHOST,
        allow_methods=["GET", "POST"],
        allow_headers=[KEY_HEADER, "Content-Type"],
        expose_headers=["Location", "Retry-After"],
        allow_private_network=True,
    )
    return app


def _calls(served: Service, gate: Gate) -> FastAPI:
    """One lab's calls and pages."""
    app = FastAPI(title="isoflop lab", docs_url=None, redoc_url=None)
    app.state.service = served
    app.state.gate = gate
    keyed = [Security(APIKeyHeader(name=KEY_HEADER, auto_error=False))]
    beyond = ((module.router, "beyond it") for module in (further_calls, fit_calls))
    for router, tag in ((contract_calls.router, "the contract"), *beyond):
        app.include_router(router, dependencies=keyed, tags=[tag], responses=REFUSALS)
    app.include_router(pages.router)
    add_refusals(app)
    return app
