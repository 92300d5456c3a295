"""The family rule: one dial, the width, gives the whole shape.

Depth is width / 64 (the aspect ratio of nanochat's ladder), and never under two layers: one layer
can't form the induction heads that in-context copying needs. Heads have at most 64 features, so that up
to width 64 there is a single one (docs/decisions.md has the measurements).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from isoflop.base.errors import UserError
from isoflop.models.config import ModelConfig
from isoflop.models.registry import ledger

ASPECT_RATIO = 64
MIN_DEPTH = 2
MAX_HEAD_DIM = 64
MAX_WIDTH = 4096
GATED_RATIO = 8 / 3
"""Feed-forward over model width at which a gated layer has the parameters of an ungated one of ratio 4."""


def family(width: int, *, vocab_size: int, context_length: int, **overrides: Any) -> ModelConfig:
    """The family's member of `width` features; `overrides` replace single fields of the rule's answer.

    Raises `UserError` for a width that is not a positive multiple of 4.
    """
    if width < 4 or width % 4:
        raise UserError(f"width {width} is not in the family: take a positive multiple of 4")
    heads = _heads(width)
    shape = ModelConfig(
        width=width,
        depth=max(MIN_DEPTH, round(width / ASPECT_RATIO)),
        heads=heads,
        kv_heads=heads,
        head_dim=width // heads,
        ff_width=4 * width,
        vocab_size=vocab_size,
        context_length=context_length,
    )
    shape = dataclasses.replace(shape, **overrides)
    if shape.gated and "ff_width" not in overrides:
        shape = dataclasses.replace(shape, ff_width=8 * round(GATED_RATIO * width / 8))
    return shape


def family_of_size(
    target: float, *, count: str = "non_embedding", vocab_size: int, context_length: int, **overrides: Any
) -> ModelConfig:
    """The member whose parameter count is nearest to `target`, by ratio.

    `count` is one of `total`, `non_embedding`, `body` (see `Ledger`). Raises `UserError` where the nearest
    member is off by more than a factor of 1.5: the family doesn't reach that size at this vocabulary.
    """
    if target <= 0:
        raise UserError(f"target size {target} must be positive")
    members = (
        family(width, vocab_size=vocab_size, context_length=context_length, **overrides)
        for width in family_widths()
    )

    def miss(config: ModelConfig) -> float:
        size = ledger(config).params(count)
        return max(size / target, target / size)

    best = min(members, key=miss)
    if miss(best) > 1.5:
        raise UserError(
            f"no member of the family has about {target:.3g} {count} parameters at vocabulary {vocab_size}: "
            f"the nearest has {ledger(best).params(count):,}"
        )
    return best


def family_widths() -> Iterator[int]:
    """Finer steps where the sizes are small; multiples of 64 above 256, where tensor cores want them."""
    yield from range(4, 64, 4)
    yield from range(64, 256, 16)
    yield from range(256, MAX_WIDTH + 1, 64)


def _heads(width: int) -> int:
    at_least = -(-width // MAX_HEAD_DIM)
    return next(h for h in range(at_least, width) if width % h == 0 and (width // h) % 2 == 0)
