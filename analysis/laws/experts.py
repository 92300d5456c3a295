"""Parameters that a token uses in a mixture of experts, out of all that it has."""

from __future__ import annotations

from isoflop.analysis.laws.law import Array


def active_parameters(N: Array, expansion: Array) -> Array:
    """Parameters that a token uses of N in all, without embeddings.

    `expansion`: parameters of the experts over those that a token visits. A block of width d has 4 d^2 in its
    attention and 8 d^2 in the feed-forward layer that the visited experts make up: a token uses 12 d^2 of
    (4 + 8 expansion) d^2.
    """
    return 3 * N / (1 + 2 * expansion)
