"""Independent tokens with Zipf frequencies: `synthetic:zipf`. Frequencies are all there is to learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from isoflop.train.data.frequency_tables import (
    WORD,
    alias_table,
    columns,
    draw,
    entropy,
    probabilities,
    zipf_weights,
)
from isoflop.train.data.processes import SyntheticProcess, Tables, check
from isoflop.train.data.random_bits import threefry


@dataclass(frozen=True)
class Process(SyntheticProcess):
    """Id r has a frequency proportional to (r + 1)^-exponent, rounded to integers."""

    vocab: int = 256
    exponent: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check("zipf", "vocab", self.vocab, 2, 65_536)
        check("zipf", "exponent", self.exponent, 0, 8)

    def tables(self) -> Tables:
        total = columns(self.vocab) * WORD
        return {"ids": alias_table(zipf_weights(self.vocab, self.exponent, total))}

    def sample(self, tables: Any, keys_2xW: jax.Array, length: int) -> jax.Array:
        key0, key1 = keys_2xW[:, :, None]
        words = threefry(key0, key1, jnp.arange(length, dtype=jnp.uint32), np.uint32(0))
        return draw(tables["ids"], *words)

    def floor(self, tables: Tables, context: int) -> float:
        return entropy(probabilities(tables["ids"], self.vocab))
