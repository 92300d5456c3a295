"""Several sources by weight: `mix:wiki-intro=0.7+text:books/*.txt=0.3`, in thousandths that sum to 1."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import ClassVar

from isoflop.base.errors import UserError
from isoflop.train.data import sources
from isoflop.train.data.sources import Source
from isoflop.train.spec import Split

PART = re.compile(r"(.+?)=(\d*\.?\d+)(?:\+|$)")
"""A part ends where a number after = is followed by + or the end, so that names may hold both signs."""


@dataclass(frozen=True)
class MixSource:
    """Sources, and the windows that each gives to every block of sum(weights)."""

    kind: ClassVar[str] = "mix"
    name: str
    sources: tuple[Source, ...]
    weights: tuple[int, ...]

    @property
    def title(self) -> str:
        total = sum(self.weights)
        return ", ".join(
            f"{weight / total:.4g} {source.title}"
            for source, weight in zip(self.sources, self.weights, strict=True)
        )

    @property
    def licence(self) -> str:
        return "; ".join(dict.fromkeys(source.licence for source in self.sources))

    @property
    def fingerprint(self) -> str:
        return f"mix {self.weights} {[source.fingerprint for source in self.sources]}"

    def split(self, split: Split) -> Iterator[str]:
        """Texts in proportion to the weights, by length, until every source has come to its end once."""
        readers = [partial(source.split, split) for source in self.sources]
        return _interleaved([reader() for reader in readers], readers, self.weights)


def open_source(argument: str) -> MixSource:
    """The mixture that `SOURCE=WEIGHT+SOURCE=WEIGHT...` names.

    Raises `UserError` for what can't be read so, for unknown sources, and for weights that don't sum to 1.
    """
    names, weights = _parsed(argument)
    return MixSource(f"mix:{argument}", tuple(sources.open_source(name) for name in names), weights)


def shares_of(source: str) -> dict[str, float]:
    """The share of the training windows that each part of a mixture gives, by the part's name; of a source
    that is no mixture, all. Raises `UserError` for a mixture that can't be read."""
    plugin, _, argument = source.partition(":")
    if plugin != "mix":
        return {source: 1.0}
    names, weights = _parsed(argument)
    return {name: weight / sum(weights) for name, weight in zip(names, weights, strict=True)}


def _parsed(argument: str) -> tuple[list[str], tuple[int, ...]]:
    """The names of a mixture's parts, and their weights."""
    found = list(PART.finditer(argument))
    if len(found) < 2 or "".join(match[0] for match in found) != argument or argument.endswith("+"):
        raise UserError(
            f"mix:{argument} is no mixture: write mix:SOURCE=WEIGHT+SOURCE=WEIGHT, "
            "as in mix:wiki-intro=0.7+text:books/*.txt=0.3"
        )
    names = [match[1] for match in found]
    if len(set(names)) < len(names):
        raise UserError(f"mix:{argument} names a source twice: add up its weights")
    if nested := [name for name in names if name.startswith("mix:")]:
        raise UserError(f"{nested[0]} stands in a mixture: name its sources instead")
    return names, _thousandths([match[2] for match in found])


def _thousandths(texts: Sequence[str]) -> tuple[int, ...]:
    """The weights as the smallest integers of their proportions."""
    weights = [Decimal(text) * 1000 for text in texts]
    if any(weight <= 0 or weight % 1 for weight in weights) or sum(weights) != 1000:
        raise UserError(
            f"a mixture's weights are thousandths above 0 that sum to 1, and not {', '.join(texts)}"
        )
    whole = [int(weight) for weight in weights]
    divisor = math.gcd(*whole)
    return tuple(weight // divisor for weight in whole)


def _interleaved(
    opened: list[Iterator[str]], again: Sequence[Callable[[], Iterator[str]]], weights: Sequence[int]
) -> Iterator[str]:
    taken = [0] * len(opened)
    unfinished = set(range(len(opened)))
    while unfinished:
        i = min(range(len(opened)), key=lambda i: taken[i] / weights[i])
        text = next(opened[i], None)
        if text is not None:
            taken[i] += len(text)
            yield text
        elif taken[i]:
            unfinished.discard(i)
            opened[i] = again[i]()
        else:
            return  # a source without text: preparing its corpus will say so
