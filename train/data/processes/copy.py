"""Copying in context: `synthetic:copy`. Uniform ids, and one segment that comes twice, each time after id 0.

A window of n ids holds the marker 0 at two places, drawn so that the `length` ids after each fit and don't
overlap; the ids after the second marker repeat those after the first, and all others are uniform over 1 to
vocab - 1. As nothing but a marker is 0, a window shows its places, and its entropy is that of the places
plus that of the ids drawn freely: log of the number of windows, but for the rounding of 32-bit draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from isoflop.train.data.frequency_tables import entropy, uniform_entropy, uniform_probabilities
from isoflop.train.data.processes import SyntheticProcess, Tables, check
from isoflop.train.data.random_bits import below, threefry


@dataclass(frozen=True)
class Process(SyntheticProcess):
    """`length`: ids in the segment."""

    vocab: int = 256
    length: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        check("copy", "vocab", self.vocab, 3, 65_536)
        check("copy", "length", self.length, 1, 16_384)

    @property
    def shortest_context(self) -> int:
        return 2 * self.length + 1

    def sample(self, tables: Any, keys_2xW: jax.Array, length: int) -> jax.Array:
        places = self._places(length)
        key0, key1 = keys_2xW[:, :, None]
        first_word, second_word = threefry(key0, key1, np.uint32(0), np.uint32(1))
        first = below(first_word, np.uint32(places))
        second = first + np.uint32(self.length + 1) + below(second_word, np.uint32(places) - first)
        here = jnp.arange(length, dtype=jnp.uint32)
        is_copy = (here > second) & (here <= second + np.uint32(self.length))
        origin = jnp.where(is_copy, here - (second - first), here)
        ids = np.uint32(1) + below(threefry(key0, key1, origin, np.uint32(0))[0], np.uint32(self.vocab - 1))
        return jnp.where((here == first) | (here == second), np.uint32(0), ids)

    def floor(self, tables: Tables, context: int) -> float:
        places = self._places(context + 1)
        first = uniform_probabilities(places)
        of_places = uniform_entropy(places) + first @ uniform_entropy(np.arange(places, 0, -1))
        of_id = uniform_entropy(self.vocab - 1)
        of_window = of_places + (context - 1 - self.length) * of_id
        of_first_id = entropy(np.array([first[0], 1 - first[0]])) + (1 - first[0]) * of_id
        return float(of_window - of_first_id) / context

    def _places(self, n: int) -> int:
        """How many places the first marker can take in a window of n ids; the second has those after it."""
        return n - 2 * self.length - 1
