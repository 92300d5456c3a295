"""The application: calls, pages, and what stands around them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Security
from fastapi.middleware.cors import CORSMiddleware
from fastapi.security import APIKeyHeader

from isoflop.labs.backends.backend import Backend
from isoflop.labs.lab import Lab
from isoflop.labs.server import contract_calls, fit_calls, further_calls, pages
from isoflop.labs.server.gate import KEY_HEADER, Gate
from isoflop.labs.server.headers import SecurityHeaders
from isoflop.labs.server.refusals import add_refusals
from isoflop.labs.server.service import Service
from isoflop.labs.store.database import Database

LOCALHOST = r"https?://(localhost|127\.0\.0\.1)(:\d+)?"
"""Where the course's own page may be opened from; as a file its origin is `null`."""

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is no JSON"},
    401: {"description": "No key, or an unknown one"},
    403: {"description": "The lab is frozen"},
    413: {"description": "The body is too long"},
    429: {"description": "Too many calls, or wrong keys: Retry-After says how long to wait"},
    503: {"description": "The lab's database is out of reach"},
}
"""What any call may be answered with."""


def create_app(lab: Lab, store: Database, backend: Backend) -> FastAPI:
    """The lab's application; what runs the jobs is beside it."""
    app = FastAPI(title="isoflop lab", docs_url=None, redoc_url=None)
    app.state.service = Service(lab, store, backend)
    app.state.gate = Gate(lab, store)
    keyed = [Security(APIKeyHeader(name=KEY_HEADER, auto_error=False))]
    beyond = ((module.router, "beyond it") for module in (further_calls, fit_calls))
    for router, tag in ((contract_calls.router, "the contract"), *beyond):
        app.include_router(router, dependencies=keyed, tags=[tag], responses=REFUSALS)
    app.include_router(pages.router)
    add_refusals(app)
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
