"""Frequencies as integers, tables that draw from them exactly, and their entropy."""

from __future__ import annotations

import decimal
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

WORD = 1 << 32


def zipf_weights(n: int, exponent: float, total: int) -> list[int]:
    """Integers that sum to `total`, the r-th about proportional to r^-exponent, none of them zero.

    Decimal arithmetic is the same on every platform; floating-point powers are not.
    """
    with decimal.localcontext(decimal.Context(prec=40)):
        power = -decimal.Decimal(str(exponent))
        shares = [decimal.Decimal(rank) ** power for rank in range(1, n + 1)]
        scale = (total - n) / sum(shares, decimal.Decimal())
        weights = [1 + int(share * scale) for share in shares]
    weights[0] += total - sum(weights)
    return weights


def columns(n: int) -> int:
    """Columns of the alias table of n outcomes: the least power of two that holds them, two at least."""
    return max(2, 1 << (n - 1).bit_length())


def alias_table(weights: Sequence[int]) -> NDArray[np.uint32]:
    """Alias table (columns, 3) of thresholds, own and other outcomes; draws are as likely as their weights.

    `weights` sum to 2^32 times the columns. Walker's method in Vose's form (1991): the high bits of one word
    choose a column, and another word below its threshold gives its own outcome, else the other.
    """
    n_columns = columns(len(weights))
    assert sum(weights) == n_columns * WORD
    left = [*weights, *[0] * (n_columns - len(weights))]
    table = np.empty((n_columns, 3), dtype=np.uint32)
    small = [i for i, weight in enumerate(left) if weight < WORD]
    large = [i for i, weight in enumerate(left) if weight >= WORD]
    while small:
        i, j = small.pop(), large[-1]
        table[i] = left[i], i, j
        left[j] -= WORD - left[i]
        if left[j] < WORD:
            small.append(large.pop())
    for i in large:
        table[i] = 0, i, i
    return table


def draw(table: Any, choice: Any, toss: Any) -> Any:
    """An outcome of an alias table for each pair of words (uint32)."""
    row = table[choice >> np.uint32(33 - len(table).bit_length())]
    return jnp.where(toss < row[..., 0], row[..., 1], row[..., 2])


def probabilities(table: NDArray[np.uint32], n: int) -> NDArray[np.float64]:
    """Probability of each of n outcomes under an alias table, exactly what `draw` samples."""
    counts = np.zeros(len(table), dtype=np.int64)
    thresholds = table[:, 0].astype(np.int64)
    np.add.at(counts, table[:, 1], thresholds)
    np.add.at(counts, table[:, 2], WORD - thresholds)
    return counts[:n] / (len(table) * WORD)


def entropy(p: NDArray[np.float64]) -> float:
    """Entropy of probabilities, nats."""
    return float(-np.sum(p * np.log(np.where(p > 0, p, 1.0))))


def uniform_probabilities(bound: int) -> NDArray[np.float64]:
    """Probabilities (bound,) of the outcomes of `below`: equal, but for 2^32 being no multiple of them."""
    edges = -(-np.arange(bound + 1, dtype=np.int64) * WORD // bound)
    return np.diff(edges) / WORD


def uniform_entropy(bound: Any) -> Any:
    """Entropy of the outcomes of `below`, nats; for a bound, or each of an array of them."""
    each, more = np.divmod(WORD, np.asarray(bound, dtype=np.int64))
    few, many = each / WORD, (each + 1) / WORD
    return -(bound - more) * few * np.log(few) - more * many * np.log(many)
