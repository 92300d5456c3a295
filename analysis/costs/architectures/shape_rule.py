"""A plausible shape for a number of parameters, where nothing but the number is known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from isoflop.analysis.costs.architectures.model_shape import ModelShape
from isoflop.analysis.options import CountName
from isoflop.base.errors import UserError

WIDTH_PER_LAYER = 110
"""Width over depth: 102 to 130 in Llama 3 (Grattafiori et al. 2024, table 3)."""
FF_RATIO = 3.5
"""Feed-forward width over width, gated, as in Llama 3 8B and 70B."""
VOCABULARIES = (128_256, 32_000, 256)
"""Llama 3's, Llama 2's, and bytes: the first whose embeddings leave a model of a common depth."""
UNCOMMON = math.log(3)
"""Distance of width over depth from the rule's, in logarithm, at which a smaller vocabulary is tried."""
KV_HEADS = 8

RULE = (
    f"by a rule after Llama 3: width about {WIDTH_PER_LAYER} times the layers, heads of 128, {KV_HEADS} "
    f"key-value heads from width 2048 on, gated feed-forward of {FF_RATIO} times the width"
)


@dataclass(frozen=True)
class ShapeOptions:
    """Sizes that are known; None: by the rule."""

    layers: int | None = None
    width: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    ff_width: int | None = None
    vocab: int | None = None

    @property
    def complete(self) -> bool:
        """Whether the parameters follow: layers and width are known, the rest has a rule."""
        return self.layers is not None and self.width is not None


def ruled_shape(n_params: float | None, options: ShapeOptions, count: CountName = "total") -> ModelShape:
    """The shape of about `n_params` parameters (by `count`) with what `options` fix; by those alone if they
    are complete.

    Raises `UserError` where the sizes contradict each other, or no shape has so few parameters.
    """
    if options.complete:
        return _shape(options, options.width or 0, options.layers or 0, options.vocab or VOCABULARIES[0])
    assert n_params is not None
    found: list[tuple[float, ModelShape]] = []
    for vocab in (options.vocab,) if options.vocab else VOCABULARIES:
        # Parameters outside of the layers, in matrices of the vocabulary's size; two, if all are counted.
        outside = {"total": 2, "non_embedding": 1, "body": 0}[count] * vocab
        found += [
            (_strangeness(shape, n_params, options, outside), shape)
            for shape in _candidates(n_params, options, outside, vocab)
        ]
        if found and min(found, key=_first)[0] < UNCOMMON:
            break
    if found:
        return min(found, key=_first)[1]
    raise UserError(
        f"{n_params:.3g} parameters: no shape by the rule has so many with the sizes that are given; give "
        "--layers, --width, --heads and --vocab"
    )


def _candidates(n_params: float, options: ShapeOptions, outside: int, vocab: int) -> Iterator[ModelShape]:
    """Shapes of each width, as deep as the parameters allow; none that embeddings are over half of."""
    for width in (options.width,) if options.width else _widths():
        in_layers = n_params - outside * width
        depth = options.layers or in_layers / _shape(options, width, 1, vocab).layer_params
        if in_layers >= n_params / 2 and depth >= 0.5:
            yield _shape(options, width, max(1, round(depth)), vocab)


def _strangeness(shape: ModelShape, n_params: float, options: ShapeOptions, outside: int) -> float:
    """How far width over depth is from the rule's, in logarithm; where the depth is given, how far the
    parameters are from those wanted."""
    if options.layers:
        return abs(math.log((shape.layers * shape.layer_params + outside * shape.width) / n_params))
    return abs(math.log(shape.width / shape.layers / WIDTH_PER_LAYER))


def _first(pair: tuple[float, ModelShape]) -> float:
    return pair[0]


def _widths() -> Iterator[int]:
    yield from range(8, 256, 8)
    yield from range(256, 1024, 64)
    yield from range(1024, 2048, 128)
    yield from range(2048, 65537, 1024)


def _shape(options: ShapeOptions, width: int, layers: int, vocab: int) -> ModelShape:
    by_width = 128 if width >= 1024 else 64 if width >= 256 else 16 if width >= 16 else 8
    head_dim = options.head_dim or (width // options.heads if options.heads else by_width)
    heads = options.heads or max(1, width // head_dim)
    if options.kv_heads and not options.heads:  # which share the keys and values in equal groups
        heads = options.kv_heads * max(1, round(heads / options.kv_heads))
    grouped = width >= 2048 and heads % KV_HEADS == 0
    return ModelShape(
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=options.kv_heads or (KV_HEADS if grouped else heads),
        head_dim=head_dim,
        ff_width=options.ff_width or round(FF_RATIO * width),
        vocab=vocab,
    )
