"""Facts to be learnt by heart, with Zipf frequencies: `synthetic:facts`.

A window is a row of independent facts of three ids each: two spell the fact's name and the third is its
answer. Names and answers were drawn once, so that neither says how frequent a fact is, and no part of a name
says what the answer is. Each of the three has ids of its own. Who knows all facts loses nothing on answers;
names stay as uncertain as their frequencies make them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

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
from isoflop.train.data.random_bits import below, threefry

FACT_LENGTH = 3
"""Ids of a fact; the last is its answer."""


@dataclass(frozen=True)
class Process(SyntheticProcess):
    """Fact r of `facts` has a frequency proportional to (r + 1)^-exponent, rounded to integers; 0: all alike.

    `answers`: ids that an answer is one of, each as likely. `seed`: of names and answers.
    """

    facts: int = 4096
    answers: int = 64
    exponent: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check("facts", "facts", self.facts, 2, 65_536)
        check("facts", "answers", self.answers, 2, 32_768)
        check("facts", "exponent", self.exponent, 0, 8)
        check("facts", "seed", self.seed, 0, 2**63 - 1)

    @property
    def base(self) -> int:
        """Ids of either half of a name."""
        return math.isqrt(self.facts - 1) + 1

    @property
    def vocab_size(self) -> int:
        return 2 * self.base + self.answers

    def tables(self) -> Tables:
        """`facts`: alias table of which comes. `names` (facts,): a permutation of their numbers, of which the
        halves are digits. `answers` (facts,): what each is answered with."""
        # NumPy promises that Philox's raw bits never change.
        of_answer, of_name = np.random.Philox(key=self.seed).random_raw(2 * self.facts).reshape(2, -1)
        words = (of_answer >> np.uint64(32)).astype(np.uint32)
        return {
            "facts": alias_table(zipf_weights(self.facts, self.exponent, columns(self.facts) * WORD)),
            "names": np.argsort(of_name, kind="stable").astype(np.uint32),
            "answers": below(words, np.uint32(self.answers)).astype(np.uint16),
        }

    def frequencies(self, tables: Tables) -> NDArray[np.float64]:
        """The probability (facts,) of each fact, by rank."""
        return probabilities(tables["facts"], self.facts)

    def spell(self, tables: Any, fact_WxF: Any) -> Any:
        """The ids (W, 3 F) of facts, given by rank from 0 (uint32)."""
        base = np.uint32(self.base)
        name, answer = tables["names"][fact_WxF], tables["answers"][fact_WxF].astype(np.uint32)
        ids = (name // base, base + name % base, base + base + answer)
        return jnp.stack(ids, axis=-1).reshape(len(fact_WxF), -1)

    def sample(self, tables: Any, keys_2xW: jax.Array, length: int) -> jax.Array:
        key0, key1 = keys_2xW[:, :, None]
        place = jnp.arange(-(-length // FACT_LENGTH), dtype=jnp.uint32)
        fact = draw(tables["facts"], *threefry(key0, key1, place, np.uint32(0)))
        return self.spell(tables, fact)[:, :length]

    def floor(self, tables: Tables, context: int) -> float:
        """As the protocol says. A window's first id is no target, and it begins a fact."""
        law = self.frequencies(tables)
        of_first = entropy(np.bincount(tables["names"] // self.base, law).astype(np.float64))
        of_place = (of_first, entropy(law) - of_first, 0.0)
        return sum(of_place[place % FACT_LENGTH] for place in range(1, context + 1)) / context
