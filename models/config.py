"""The shape of one model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from isoflop.base import plugin_files
from isoflop.base.fields import Count, InvalidFieldError, Positive, check_fields

Mlp = Literal["swiglu", "gelu", "relu2"]
Dtype = Literal["float32", "bfloat16"]
Remat = Literal["none", "dots", "block"]
BITS = (2, 16)
"""What weights are rounded to (`isoflop.models.rounding`): at 1 bit symmetric rounding leaves but zero,
and beyond 16 it changes nothing that float32 shows."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model, but for its size. Raises `UserError`, naming the field, for options that clash."""

    architecture: str = "decoder"
    """The model's code: a file in models/ by name, or the path of a .py file of one's own, which is copied
    and named by its content."""
    mlp: Mlp = "swiglu"
    """The feed-forward layers' nonlinearity; swiglu has a gate, and a narrower layer for it."""
    tie_embeddings: bool = False
    """Whether the output head is the embedding's matrix."""
    experts: Count = 1
    """Feed-forward layers to choose from, in a mixture of experts; 1 is a dense model."""
    experts_per_token: Count = 1
    """Experts that a token visits, at most `experts`."""
    granularity: Annotated[Count, Field(exclude_if=lambda pieces: pieces == 1)] = 1
    """Narrower experts that each expert is split into; a token visits as many times more of them (Krajewski
    et al. 2024, section 3). Where it is 1, it is no part of a cell's name."""
    capacity_factor: Positive = 1.25
    """Room that each expert has, over an even share of a window's tokens; tokens beyond it are dropped."""
    weight_bits: Annotated[int, Field(ge=0, le=BITS[1], exclude_if=lambda bits: bits == 0)] = 0
    """Bits that the matrices of the blocks and the head are rounded to in every product of training and after
    it, 2 to 16, while the weights that are trained stay float32. 0: none, and no part of a cell's name."""
    max_attention_logit: Positive = 8.0
    """The largest attention logit while the QK-norm's scales are one, so that attention is equally sharp at
    every head size: logits are q.k times this over the head's features (1/d attention, Yang et al. 2022,
    definition 4.1; at 64 features the usual 1/sqrt(d))."""
    kv_convolution: Count = 2
    """Tokens that a causal depthwise convolution of keys and values spans, or of what a recurrence takes in,
    the present one included; 1 is none."""
    context_length: Count = 128
    """Tokens that a window predicts; text wants a power of two up to 1024."""
    rope_base: Positive = 1000.0
    """Base of the rotary positions' wavelengths, in tokens: windows of thousands of tokens want 10,000."""
    norm_eps: Positive = 1e-6
    """Added to the mean square that a norm divides by."""

    def __post_init__(self) -> None:
        check_fields(self, "model.")
        if self.experts_per_token > self.experts:
            raise InvalidFieldError(
                "model.experts_per_token",
                f"{self.experts_per_token}: must be at most the number of experts, {self.experts}",
            )
        if 0 < self.weight_bits < BITS[0]:
            raise InvalidFieldError(
                "model.weight_bits",
                f"{self.weight_bits}: weights are rounded to {BITS[0]} to {BITS[1]} bits; 0 is none",
            )
        if self.granularity > 1 and self.experts == 1:
            raise InvalidFieldError(
                "model.granularity",
                f"{self.granularity}: a dense model has no experts to split: give experts too",
            )
        object.__setattr__(self, "architecture", plugin_files.pin(self.architecture, "architecture"))


@dataclass(frozen=True, kw_only=True)
class ModelConfig(ModelOptions):
    """A decoder-only transformer's shape; everything in units of features, layers, heads or tokens.

    Raises `UserError`, naming the field, for a shape that can't be built.
    """

    width: Count
    depth: Count
    heads: Count
    kv_heads: Count
    head_dim: Annotated[int, Field(ge=2, multiple_of=2)]
    """Features of a head; rotary positions need an even number."""
    ff_width: Count
    """Features of a feed-forward layer; in a mixture, of each of its `routed` experts."""
    vocab_size: Count
    document_separator: Annotated[int, Field(ge=0)] | None = None
    """The id of the token that ends a document; where set, no token attends across one."""
    branch_scale: Positive = 1.0
    """What each residual branch's output is multiplied by (CompleteP, Dey et al. 2025, table 1, asks for base
    depth / depth)."""
    attention_bias: Annotated[bool, Field(exclude_if=lambda used: not used)] = False
    """Whether attention's linear maps add biases; where they don't, it is no part of a cell's name."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heads % self.kv_heads:
            raise InvalidFieldError(
                "model.heads", f"{self.heads}: must be a multiple of kv_heads, {self.kv_heads}"
            )
        if self.document_separator is not None and self.document_separator >= self.vocab_size:
            raise InvalidFieldError(
                "model.document_separator",
                f"{self.document_separator}: must be a token of the vocabulary, 0 to {self.vocab_size - 1}",
            )

    @property
    def gated(self) -> bool:
        """Whether the feed-forward layer multiplies by a gate (three matrices instead of two)."""
        return self.mlp == "swiglu"

    @property
    def routed(self) -> int:
        """Feed-forward layers that the router chooses from."""
        return self.experts * self.granularity

    @property
    def visited(self) -> int:
        """Of these, those that a token visits."""
        return self.experts_per_token * self.granularity

    @property
    def attention_width(self) -> int:
        """Features of all query heads together."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Features of keys and values together."""
        return 2 * self.kv_heads * self.head_dim

    @property
    def qkv_width(self) -> int:
        """Features of queries, keys and values together."""
        return self.attention_width + self.kv_width
