"""What a fit was told of its parameters: fixed at a value, tied to another, shared by groups of runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from isoflop.analysis.compute import PerToken
from isoflop.base.errors import UserError
from isoflop.base.json_values import FloatOrNaN

T = TypeVar("T")


@dataclass(frozen=True)
class FitGroup:
    """One group of a fit with shared parameters: its runs' number, ranges and FLOPs per token."""

    name: str
    n_runs: int
    flops_range: tuple[float, float]
    n_range: tuple[float, float]
    d_range: tuple[float, float]
    flops_per_token: PerToken

    @property
    def ranges(self) -> dict[str, Any]:
        """The fields of `FitConventions` that are its own."""
        names = ("flops_range", "n_range", "d_range", "flops_per_token")
        return {name: getattr(self, name) for name in names}

    def of(self, values: Mapping[str, T]) -> dict[str, T]:
        """What is the group's, by its plain names (`E` for `E[c4]`), and what all groups share."""
        ending = f"[{self.name}]"
        own = {key.removesuffix(ending): value for key, value in values.items() if key.endswith(ending)}
        return {key: value for key, value in values.items() if "[" not in key} | own


@dataclass(frozen=True)
class Sensitivity:
    """How the forecast moves with a fixed parameter.

    `n_opt` (parameters) and the `loss` there (nats per token) at `flops`, all else fitted anew, with the
    parameter a `step` below its value, at it, and a step above.
    """

    parameter: str
    group: str | None
    """Of a fit with shared parameters: whose forecast it is."""
    value: float
    step: float
    step_is: str
    """`standard error`: of the parameter when free; `1%`: of the value, where the runs leave it open then."""
    flops: float
    n_opt: tuple[FloatOrNaN, FloatOrNaN, FloatOrNaN]
    loss: tuple[FloatOrNaN, FloatOrNaN, FloatOrNaN]


@dataclass(frozen=True)
class Constraints:
    """What was fixed, tied and shared."""

    fixed: dict[str, float]
    tied: dict[str, str]
    """The parameter that each tied one is equal to."""
    shared: tuple[str, ...]
    by: str | None
    """The column that tells the groups apart."""
    groups: tuple[FitGroup, ...]
    sensitivity: tuple[Sensitivity, ...] = ()

    @property
    def words(self) -> str:
        """What was asked for, in one clause."""
        said = [f"{name} = {value:g}" for name, value in self.fixed.items()]
        said += [f"{name} = {other}" for name, other in self.tied.items()]
        if self.shared:
            said.append(f"{', '.join(self.shared)} shared by {len(self.groups)} groups ({self.by})")
        return ", ".join(said)

    def group(self, name: str) -> FitGroup:
        """The group called `name`. Raises `UserError` with the groups there are."""
        for group in self.groups:
            if group.name == name:
                return group
        if not self.groups:
            raise UserError(f"--group {name}: the fit has no groups; it is one law for all its runs")
        raise UserError(f"--group {name}: no such group; there are {', '.join(g.name for g in self.groups)}")


def parse_values(words: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    """(name, value) of each `NAME=VALUE`; a word may hold several, with commas.

    Raises `ValueError` for another form.
    """
    found = []
    for name, value in _pairs(words, "a name and a number, as E=1.6"):
        try:
            found.append((name, float(value)))
        except ValueError:
            raise ValueError(f"{name}={value}: must be a name and a number, as E=1.6") from None
    return tuple(found)


def parse_ties(words: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """(name, name) of each `NAME=NAME`. Raises `ValueError` for another form."""
    return tuple(_pairs(words, "two names, as alpha=beta"))


def parse_names(words: tuple[str, ...]) -> tuple[str, ...]:
    """The names in words of one or more, with commas, each once."""
    return tuple(dict.fromkeys(name.strip() for word in words for name in word.split(",") if name.strip()))


def group_name(value: object) -> str:
    """A column's value as a group's name; 8.0 and 8 are the same."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _pairs(words: tuple[str, ...], form: str) -> list[tuple[str, str]]:
    found = []
    for word in parse_names(words):
        first, equals, second = (part.strip() for part in word.partition("="))
        if not (first and equals and second):
            raise ValueError(f"{word}: must be {form}")
        found.append((first, second))
    return found
