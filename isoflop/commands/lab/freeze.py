"""isoflop lab freeze"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from isoflop.arguments import Flag, parse
from isoflop.base.errors import UserError
from isoflop.commands.lab.options import LabOptions


@dataclass(frozen=True)
class Freeze(LabOptions):
    """Sets the deadline: from then on nothing is submitted; what is queued still runs."""

    at: str | None = None
    """When, as 2026-12-01T18:00:00Z; now if not given."""
    lift: Flag = False
    """No deadline any more."""


def run(argv: list[str]) -> int:
    """Sets it."""
    from isoflop.labs.store.freezing import freeze

    given = parse(Freeze, argv, "lab freeze")
    if given.lift and given.at is not None:
        raise UserError("--lift --at: give one of them: a deadline, or none")
    at = None if given.lift else _moment(given.at)
    _, store = given.open()
    with store.write() as connection:
        freeze(connection, at)
    store.close()
    print("no deadline" if at is None else f"frozen from {at:%Y-%m-%dT%H:%M:%SZ}")
    return 0


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"--at {text}: must be a time such as 2026-12-01T18:00:00Z") from None
    if at.tzinfo is None:
        raise UserError(f"--at {text}: in which time zone? {text}Z is UTC, {text}+01:00 an hour ahead of it")
    return at.astimezone(UTC)
