"""`--with G=8 E=64`: values of what a law needs besides N and D."""

from __future__ import annotations

from isoflop.analysis.constraints import parse_values
from isoflop.base.errors import UserError


def given_inputs(words: tuple[str, ...]) -> dict[str, float]:
    """The values by symbol. Raises `UserError` for another form, and for a symbol that is given twice."""
    try:
        pairs = parse_values(words)
    except ValueError as error:
        raise UserError(f"--with {error}") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(symbol for symbol, _ in pairs if [each for each, _ in pairs].count(symbol) > 1)
        raise UserError(f"--with {twice}: given twice; give one value of it")
    return found
