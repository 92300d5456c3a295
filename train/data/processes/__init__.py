"""Processes whose entropy is known, one file each: it defines `Process`, a frozen dataclass of parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any

import jax
from numpy.typing import NDArray

from isoflop.base import plugins
from isoflop.base.errors import UserError

Tables = dict[str, NDArray[Any]]
"""Integer tables that a process samples from, by name."""


class SyntheticProcess(ABC):
    """A law of windows of ids. Every draw compares integers, so that all platforms give the same ids."""

    vocab: int

    @property
    def vocab_size(self) -> int:
        """The number of ids."""
        return self.vocab

    @property
    def shortest_context(self) -> int:
        """The least context length of a window that it can fill."""
        return 1

    def tables(self) -> Tables:
        """What `sample` and `floor` read: the law itself, as integers."""
        return {}

    @abstractmethod
    def sample(self, tables: Any, keys_2xW: jax.Array, length: int) -> jax.Array:
        """Windows (W, length) of ids, one for each key of two uint32. Traced by JAX."""

    @abstractmethod
    def floor(self, tables: Tables, context: int) -> float:
        """The least expected loss, nats a target, over the `context` targets of a window of context + 1 ids.

        Nothing is known of what came before the window.
        """


def process_names() -> list[str]:
    """The processes that `train/data/processes/` holds."""
    return plugins.names("isoflop.train.data.processes", "Process")


def open_process(argument: str) -> SyntheticProcess:
    """The process of `NAME[,KEY=VALUE...]`; values are whole or decimal numbers, as the default is.

    Raises `UserError` for an unknown name or key, or a value that can't be.
    """
    name, *settings = argument.split(",")
    cls = plugins.load("isoflop.train.data.processes", "Process", name, "synthetic process").Process
    defaults = {field.name: field.default for field in fields(cls)}
    chosen: dict[str, Any] = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        if key not in defaults:
            raise UserError(f"synthetic:{name} has no parameter {key!r}: known are {', '.join(defaults)}")
        if key in chosen:
            raise UserError(f"synthetic:{name} names {key} twice: keep one")
        kind = type(defaults[key])
        try:
            chosen[key] = kind(value)
        except ValueError:
            raise UserError(
                f"synthetic:{name}: {key}={value} is no {'whole ' if kind is int else ''}number"
            ) from None
    return cls(**chosen)


def check(name: str, key: str, value: float, lowest: float, highest: float) -> None:
    """Raises `UserError` for a parameter outside [lowest, highest]; not a number is outside."""
    if not lowest <= value <= highest:
        raise UserError(f"synthetic:{name}: {key}={value:g} is outside {lowest:g} to {highest:g}")
