"""What the calls share: the lab, its database and its backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from sqlalchemy import Connection

from isoflop.labs.backends.backend import Backend
from isoflop.labs.lab import Lab
from isoflop.labs.store.database import Database
from isoflop.labs.store.freezing import frozen_since


@dataclass(frozen=True)
class Service:
    """One server's lab."""

    lab: Lab
    store: Database
    backend: Backend


def _service(request: Request) -> Service:
    return request.app.state.service


Lent = Annotated[Service, Depends(_service)]
"""The server's lab, as a call gets it."""


def refuse_if_frozen(connection: Connection) -> None:
    """Raises 403 after the deadline."""
    if (since := frozen_since(connection)) is not None:
        raise HTTPException(403, f"the lab is frozen since {since:%Y-%m-%dT%H:%M:%SZ}: nothing more is taken")
