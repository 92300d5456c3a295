"""docs/lab-contract.md names every call, field and status of the application's own schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from isoflop.labs.backends import load_backend
from isoflop.labs.lab import Lab
from isoflop.labs.server.app import create_app
from isoflop.labs.server.service import Service
from isoflop.labs.store.opening import open_store

PAGE = (Path(__file__).parents[2] / "docs" / "lab-contract.md").read_text()
NAMED = set(re.findall(r"`([^`\n]+)`", PAGE)) | set(re.findall(r'"(\w+)"', PAGE))
OF_FRAMEWORK = {"HTTPValidationError", "ValidationError"}
"""Schemas of 422, whose fields FastAPI lists beyond those that are answered."""


@pytest.fixture
def schema(lab: Lab) -> dict[str, Any]:
    store = open_store(lab, None)
    schema = create_app(Service(lab, store, load_backend(lab))).openapi()
    store.close()
    return schema


def test_every_call_is_named_and_no_other(schema: dict[str, Any]) -> None:
    calls = {f"{method.upper()} {path}" for path, methods in schema["paths"].items() for method in methods}
    pages = {"GET /dashboard", "GET /docs", "GET /instructor"}
    assert {name for name in NAMED if re.match("(GET|POST) ", name)} == calls | pages


def test_every_field_and_word_is_named(schema: dict[str, Any]) -> None:
    missing = []
    for name, object_schema in schema["components"]["schemas"].items():
        for field, kind in object_schema.get("properties", {}).items():
            words = [field, *kind.get("enum", []), *([kind["const"]] if "const" in kind else [])]
            missing += [f"{name}.{word}" for word in words if name not in OF_FRAMEWORK and word not in NAMED]
    assert missing == []


def test_every_status_is_named(schema: dict[str, Any]) -> None:
    answered = {
        status
        for methods in schema["paths"].values()
        for call in methods.values()
        for status in call["responses"]
    }
    listed = set(re.findall(r"^\| (\d{3}) \|", PAGE, re.MULTILINE))
    assert listed == answered - {"200"}
