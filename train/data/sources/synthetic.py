"""Unlimited ids of known entropy: `synthetic:zipf`, `synthetic:markov,order=2,vocab=256,seed=0`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from isoflop.base.errors import UserError
from isoflop.base.plugin_files import pin
from isoflop.train.data.processes import SyntheticProcess, open_process
from isoflop.train.data.synthetic_corpus import identity
from isoflop.train.spec import Split


@dataclass(frozen=True)
class SyntheticSource:
    """The process that `argument` names, `NAME[,KEY=VALUE...]`."""

    kind: ClassVar[str] = "synthetic"
    argument: str
    process: SyntheticProcess

    @property
    def name(self) -> str:
        return f"synthetic:{self.argument}"

    @property
    def title(self) -> str:
        return f"synthetic tokens, {self.argument}"

    @property
    def licence(self) -> str:
        return "made up, free to use"

    @property
    def fingerprint(self) -> str:
        return identity(self.argument)

    def split(self, split: Split) -> Iterator[str]:
        """Raises `UserError`: there is no text, and no tokenizer to train on it."""
        raise UserError(
            f"{self.name} is made of ids, not of text: take the tokenizer bytes, which leaves them be"
        )


def open_source(argument: str) -> SyntheticSource:
    """The process `NAME[,KEY=VALUE...]`; see `train/data/processes/`. One in a file of the user's own is
    pinned: workers make its ids anew, and must do so by the same code."""
    name, comma, settings = argument.partition(",")
    pinned = pin(name, "synthetic process") + comma + settings
    return SyntheticSource(pinned, open_process(pinned))
