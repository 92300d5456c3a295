"""The report's pages, from the templates of this folder."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, select_autoescape

from isoflop.base.formatting import pluralize


def render(name: str, **values: Any) -> str:
    """A page; all that is put into it is escaped, unless it is marked as HTML of our own."""
    return _environment().get_template(name).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(
            lambda name: (files("isoflop.labs.grading") / name).read_text(encoding="utf-8")
        ),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["pluralize"] = pluralize
    return environment
