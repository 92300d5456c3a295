"""isoflop lab serve"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from isoflop.arguments import parse
from isoflop.base.fields import check_fields
from isoflop.commands.lab.options import LabOptions


@dataclass(frozen=True)
class Serve(LabOptions):
    """Serves the lab to students until it is stopped (Ctrl-C); started again, it goes on where it was."""

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 is every one of this machine's. Put TLS in front (docs/lab.md)."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """The port; 0 is any that is free."""
    workers: Annotated[int, Field(ge=0, le=256)] = 1
    """Processes that run jobs at the same time."""

    def __post_init__(self) -> None:
        check_fields(self)


def run(argv: list[str]) -> int:
    """Serves."""
    from isoflop.labs.server.serve import serve

    given = parse(Serve, argv, "lab serve")

    lab = given.lab()

    def announce(address: str, token: str) -> None:
        print(f"the lab is at {address}; its page is {address}/dashboard; Ctrl-C stops it")
        if lab.practice() is not None:
            print(f"the practice lab is at {address}/practice")
        print(f"yours alone, until it stops: {address}/instructor#{token}", flush=True)

    serve(lab, given.host, given.port, given.workers, given.url(), announce)
    return 0
