"""A chain of order 1 or 2 with sparse random rows and Zipf-frequent contexts: `synthetic:markov`.

Its rows are facts that have to be learnt one by one, the frequent ones first, so that more parameters and
more tokens both keep helping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from isoflop.base.errors import UserError
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

MOST_CONTEXTS = 1 << 18
SLOT_BITS, MASS_BITS = 16, 46
"""Precision of a row's weights, and of the law of a window's first ids: a product of both fits 64 bits."""
SETTLING_STEPS = 64


@dataclass(frozen=True)
class Process(SyntheticProcess):
    """After each context of `order` ids may come `branch` others, chosen by a Zipf law, the r-th of them with
    a probability proportional to r^-exponent. `exponent` is that of both laws."""

    order: int = 2
    vocab: int = 256
    branch: int = 16
    exponent: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check("markov", "order", self.order, 1, 2)
        check("markov", "vocab", self.vocab, 2, 65_536)
        check("markov", "branch", self.branch, 2, min(64, self.vocab))
        check("markov", "exponent", self.exponent, 0, 8)
        check("markov", "seed", self.seed, 0, 2**63 - 1)
        if self.contexts > MOST_CONTEXTS:
            raise UserError(
                f"synthetic:markov: order={self.order},vocab={self.vocab} makes {self.contexts} contexts, "
                f"more than {MOST_CONTEXTS}: lower one of them"
            )

    @property
    def contexts(self) -> int:
        """Contexts of `order` ids; the one of ids a, b is number a * vocab + b."""
        return self.vocab**self.order

    def tables(self) -> Tables:
        """`after` (contexts, branch): the ids that may follow. `slots`, `start`: alias tables of which of
        them does, and of a window's first context, whose law is stationary to about 1e-6."""
        after = self._after()
        scale = columns(self.branch) * WORD >> SLOT_BITS
        slots = alias_table([weight * scale for weight in self._weights()])
        return {"after": after, "slots": slots, "start": alias_table(self._start(after))}

    def sample(self, tables: Any, keys_2xW: jax.Array, length: int) -> jax.Array:
        key0, key1 = keys_2xW
        zero = np.uint32(0)
        start = draw(tables["start"], *threefry(key0, key1, zero, zero))

        def step(context: jax.Array, place: jax.Array) -> tuple[jax.Array, jax.Array]:
            slot = draw(tables["slots"], *threefry(key0, key1, place, zero))
            following = tables["after"][context, slot].astype(jnp.uint32)
            return self._next(context, following), following

        places = jnp.arange(self.order, length, dtype=jnp.uint32)
        _, rest = jax.lax.scan(step, start, places)
        first = [start // np.uint32(self.vocab**i) % np.uint32(self.vocab) for i in range(self.order)]
        return jnp.concatenate([jnp.stack(first[::-1]), rest])[:length].T

    def floor(self, tables: Tables, context: int) -> float:
        """As the protocol says: every row has the entropy of `slots`, whatever the contexts' law. A chain of
        order 2 has one target a window of which only one id is known."""
        of_row = entropy(probabilities(tables["slots"], self.branch))
        if self.order == 1:
            return of_row
        law = probabilities(tables["start"], self.contexts)
        of_second = entropy(law) - entropy(law.reshape(self.vocab, -1).sum(axis=1))
        return (of_second + (context - 1) * of_row) / context

    def _after(self) -> NDArray[np.uint16]:
        """Ids by Zipf's law, and where one has come in the row before, the next that has not."""
        popularity = np.cumsum(zipf_weights(self.vocab, self.exponent, WORD))
        # NumPy promises that Philox's raw bits never change.
        words = np.random.Philox(key=self.seed).random_raw(self.contexts * self.branch) >> np.uint64(32)
        after = np.searchsorted(popularity, words.astype(np.int64), side="right")
        after = after.astype(np.uint16).reshape(self.contexts, self.branch)
        for slot in range(1, self.branch):
            while (taken := (after[:, :slot] == after[:, slot, None]).any(axis=1)).any():
                after[taken, slot] = (after[taken, slot].astype(np.int64) + 1) % self.vocab
        return after

    def _start(self, after: NDArray[np.uint16]) -> list[int]:
        """Weights of the contexts that a window starts with: SETTLING_STEPS of the chain from equal ones, in
        integers."""
        then = self._next(np.arange(self.contexts)[:, None], after.astype(np.int64)).ravel()
        weights = np.array(self._weights(), dtype=np.uint64)
        mass = np.full(self.contexts, (1 << MASS_BITS) // self.contexts, dtype=np.uint64)
        for _ in range(SETTLING_STEPS):
            flows = mass[:, None] * weights >> np.uint64(SLOT_BITS)
            # Doubles hold these sums exactly.
            mass = np.bincount(then, flows.ravel(), self.contexts).astype(np.uint64)
        total = columns(self.contexts) * WORD
        start = [int(m) * total >> MASS_BITS for m in mass]
        start[int(mass.argmax())] += total - sum(start)
        return start

    def _next(self, context: Any, following: Any) -> Any:
        return context % (self.contexts // self.vocab) * self.vocab + following

    def _weights(self) -> list[int]:
        return zipf_weights(self.branch, self.exponent, 1 << SLOT_BITS)
