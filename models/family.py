"""The family rule: one dial, the width, gives the whole shape.

Sizes of one family differ in size alone. Every width has four heads up to HEAD_DIM features each, and more of
that size beyond; attention is equally sharp at all of them (`ModelOptions.max_attention_logit`). Depth is
width / 64 (the aspect ratio of nanochat's ladder) and never under MIN_DEPTH, so that it is one number below
and grows by a layer a step beyond. The feed-forward ratio is a whole number. docs/family.md has the
measurements.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from isoflop.base.errors import UserError
from isoflop.models.config import ModelConfig
from isoflop.models.registry import ledger

ASPECT_RATIO = 64
MIN_DEPTH = 3
MIN_HEADS = 4
WIDTH_STEP = 2 * MIN_HEADS
"""Between widths: rotary positions want an even number of features in each head."""
HEAD_DIM = 64
MAX_WIDTH = 4096
GATED_RATIO, UNGATED_RATIO = 3, 4
"""Feed-forward over model width; a gated layer has three matrices, an ungated one two."""


def family(width: int, *, vocab_size: int, context_length: int, **overrides: Any) -> ModelConfig:
    """The family's member of `width` features; `overrides` replace single fields of the rule's answer.

    Raises `UserError` for a width that is not a positive multiple of 8.
    """
    if width < WIDTH_STEP or width % WIDTH_STEP:
        raise UserError(f"width {width} is not in the family: take a positive multiple of {WIDTH_STEP}")
    heads = _heads(width)
    shape = ModelConfig(
        width=width,
        depth=max(MIN_DEPTH, round(width / ASPECT_RATIO)),
        heads=heads,
        kv_heads=heads,
        head_dim=width // heads,
        ff_width=UNGATED_RATIO * width,
        vocab_size=vocab_size,
        context_length=context_length,
    )
    shape = dataclasses.replace(shape, **overrides)
    if "ff_width" in overrides:
        return shape
    features = (GATED_RATIO if shape.gated else UNGATED_RATIO) * width
    if features % shape.granularity:
        raise UserError(
            f"granularity {shape.granularity}: must divide the {features} features of a feed-forward layer "
            f"at width {width}"
        )
    return dataclasses.replace(shape, ff_width=features // shape.granularity)


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
    yield from range(WIDTH_STEP, 64, WIDTH_STEP)
    yield from range(64, 256, 16)
    yield from range(256, MAX_WIDTH + 1, 64)


def _heads(width: int) -> int:
    at_least = max(MIN_HEADS, -(-width // HEAD_DIM))
    return next(h for h in range(at_least, width) if width % h == 0 and (width // h) % 2 == 0)
