"""Pages for people: the dashboard, which needs no build, and the calls' own documentation."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, select_autoescape

router = APIRouter(include_in_schema=False)

instructor = APIRouter(include_in_schema=False)

TYPES = {"css": "text/css", "js": "text/javascript"}
STATIC = ("dashboard.js", "format.js", "instructor.js", "isoflop.js", "page.css")


@router.get("/")
@router.get("/dashboard")
def dashboard() -> HTMLResponse:
    """The page that asks for a key and shows queue, budget and losses."""
    return HTMLResponse(_text("dashboard.html"))


@instructor.get("/instructor")
def instructor_page() -> HTMLResponse:
    """The page that shows the class; its token stands behind the #, which no browser sends or logs."""
    return HTMLResponse(_text("instructor.html"))


@router.get("/docs")
def documentation(request: Request) -> HTMLResponse:
    """Every call, with what it takes and answers, from the application's own schema."""
    schema: dict[str, Any] = request.app.openapi()
    environment = Environment(
        autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True
    )
    return HTMLResponse(environment.from_string(_text("docs.html.jinja")).render(schema=schema))


@router.get("/static/{name}")
def static(name: str) -> Response:
    """A file of the pages."""
    if name not in STATIC:
        raise HTTPException(404, "not found")
    return Response(_text(name), media_type=TYPES[name.rpartition(".")[2]])


@cache
def _text(name: str) -> str:
    return (files("isoflop.labs.server") / "static" / name).read_text(encoding="utf-8")
