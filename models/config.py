"""The shape of one model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from isoflop.base import plugin_files
from isoflop.base.errors import UserError

Mlp = Literal["swiglu", "gelu", "relu2"]
Dtype = Literal["float32", "bfloat16"]
Remat = Literal["none", "block", "dots"]

POSITIVE = (
    "width",
    "depth",
    "heads",
    "kv_heads",
    "ff_width",
    "vocab_size",
    "context_length",
    "experts",
    "experts_per_token",
)


@dataclass(frozen=True)
class ModelConfig:
    """A decoder-only transformer's shape; everything in units of features, layers, heads or tokens.

    `document_separator`: the id of the token that ends a document; where set, no token attends across one.
    `branch_scale`: what each residual branch's output is multiplied by (CompleteP, Dey et al. 2025, table 1,
    asks for base depth / depth). `experts`: feed-forward layers of a block, each `ff_width` wide; 1 is dense.
    `experts_per_token`: how many of them a token visits. `capacity_factor`: slots of an expert over its even
    share of a window's tokens. `architecture`: a file of `isoflop.models` by name, or the path of a `.py`
    file of one's own, which becomes `FILE.py@ID` by its content (`isoflop.base.plugin_files.pin`).

    Raises `UserError`, naming the field, for a shape that can't be built.
    """

    width: int
    depth: int
    heads: int
    kv_heads: int
    head_dim: int
    ff_width: int
    vocab_size: int
    context_length: int
    mlp: Mlp = "swiglu"
    rope_base: float = 10_000.0
    norm_eps: float = 1e-6
    tie_embeddings: bool = False
    document_separator: int | None = None
    branch_scale: float = 1.0
    experts: int = 1
    experts_per_token: int = 1
    capacity_factor: float = 1.25
    architecture: str = "decoder"

    def __post_init__(self) -> None:
        for name in POSITIVE:
            if getattr(self, name) < 1:
                raise UserError(f"model {name} is {getattr(self, name)}: it must be at least 1")
        for name in ("rope_base", "norm_eps", "branch_scale", "capacity_factor"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"model {name} is {getattr(self, name)}: it must be positive and finite")
        if self.head_dim < 2 or self.head_dim % 2:
            raise UserError(f"model head_dim is {self.head_dim}: rotary positions need an even one")
        if self.heads % self.kv_heads:
            raise UserError(f"model heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        if self.mlp not in get_args(Mlp):
            raise UserError(f"model mlp {self.mlp!r} is unknown: choose one of {', '.join(get_args(Mlp))}")
        if self.experts_per_token > self.experts:
            raise UserError(
                f"model experts_per_token is {self.experts_per_token}: "
                f"it must be at most the number of experts, {self.experts}"
            )
        if self.document_separator is not None and not 0 <= self.document_separator < self.vocab_size:
            raise UserError(
                f"model document_separator is {self.document_separator}: "
                f"it must be a token of the vocabulary, 0 to {self.vocab_size - 1}"
            )
        object.__setattr__(self, "architecture", plugin_files.pin(self.architecture, "architecture"))

    @property
    def gated(self) -> bool:
        """Whether the feed-forward layer multiplies by a gate (three matrices instead of two)."""
        return self.mlp == "swiglu"

    @property
    def attention_width(self) -> int:
        """Features of all query heads together."""
        return self.heads * self.head_dim

    @property
    def qkv_width(self) -> int:
        """Features of queries, keys and values together."""
        return (self.heads + 2 * self.kv_heads) * self.head_dim
