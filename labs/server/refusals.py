"""How a request that is not answered is refused."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isoflop.labs.contract.rules import Violation

MAX_BODY_BYTES = 64 * 1024
RETRY_SECONDS = "5"
NO_JSON = {"loc": ("body",), "msg": "is no JSON that can be read", "type": "json_invalid"}


def refuse_fields(violations: Sequence[Violation], *within: str) -> None:
    """Raises 422 for a config that breaks rules; `within`: where in the body it stands."""
    if violations:
        raise RequestValidationError(
            [
                {"loc": ("body", *within, *rule.fields), "msg": rule.message, "type": "inconsistent_fields"}
                for rule in violations
            ]
        )


def add_refusals(app: FastAPI) -> None:
    """Gives an app its answers to wrong bodies and to a database out of reach."""
    app.add_exception_handler(RequestValidationError, _wrong_fields)
    app.add_exception_handler(HTTPException, _no_json)
    app.add_exception_handler(OperationalError, _no_database)
    app.add_middleware(BodyLimit)


def _wrong_fields(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # Neither the input, which may be NaN or a whole config, nor Python's exceptions are sent back.
    detail = [{name: one[name] for name in ("loc", "msg", "type")} for one in error.errors()]
    if "json" not in request.headers.get("content-type", ""):
        for one in detail:
            if one["type"] == "model_attributes_type" and len(one["loc"]) == 1:
                one["msg"] = "must be sent with the header Content-Type: application/json"
    return JSONResponse({"detail": detail}, 422)


async def _no_json(request: Request, error: Exception) -> Response:
    """A body that the JSON parser cannot even read, which the framework answers with 400, is a wrong one."""
    assert isinstance(error, HTTPException)
    if error.status_code == 400:
        return _wrong_fields(request, RequestValidationError([NO_JSON]))
    return await http_exception_handler(request, error)


def _no_database(request: Request, error: Exception) -> JSONResponse:
    reason = str(getattr(error, "orig", "")).splitlines()
    print(f"database: {' '.join(reason) or 'out of reach'}", file=sys.stderr, flush=True)
    detail = "the lab's database is out of reach or its disk is full: nothing was changed, try again"
    return JSONResponse({"detail": detail}, 503, {"Retry-After": RETRY_SECONDS})


class BodyLimit:
    """Refuses a body that is longer than any config, before it is read whole."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counts the bytes that the request has sent."""
        length = 0

        async def limited() -> Message:
            nonlocal length
            message = await receive()
            length += len(message.get("body", b""))
            if length > MAX_BODY_BYTES:
                raise HTTPException(413, f"a body has at most {MAX_BODY_BYTES} bytes")
            return message

        await self._app(scope, limited, send)
