"""The shape of a decoder: what follows from it in parameters, FLOPs and bytes, exactly."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from isoflop.base.errors import UserError
from isoflop.base.fields import Count, check_fields
from isoflop.base.json_values import Serializable


@dataclass(frozen=True)
class ModelShape(Serializable):
    """A decoder's sizes, in layers, features, heads and tokens of the vocabulary.

    `kv_heads` as many as `heads`: multi-head attention; fewer: grouped-query; one: multi-query. Norms count;
    biases, a tenth of a percent where there are any, don't.
    """

    layers: Count
    width: Count
    heads: Count
    kv_heads: Count
    head_dim: Count
    ff_width: Count
    vocab: Count
    gated: bool = True
    """The feed-forward block has three matrices (SwiGLU and its like), not two."""
    tied: bool = False
    """The output head is the embedding's matrix."""
    positions: int = 0
    """Learned position embeddings."""
    experts: Count = 1
    """Feed-forward blocks a layer, of which a router gives each token `experts_per_token`."""
    experts_per_token: Count = 1

    def __post_init__(self) -> None:
        """Raises `UserError` for a size out of its range, and for heads that cannot share their keys."""
        check_fields(self)
        if self.heads % self.kv_heads:
            raise UserError(
                f"kv_heads {self.kv_heads}: must divide the {self.heads} heads, which share keys and values "
                "in equal groups"
            )
        if self.experts_per_token > self.experts:
            raise UserError(f"experts_per_token {self.experts_per_token}: there are {self.experts} experts")

    @property
    def attention_params(self) -> int:
        """Of one layer: queries, keys, values and output."""
        return 2 * self.width * (self.heads + self.kv_heads) * self.head_dim

    @property
    def expert_params(self) -> int:
        """Of one feed-forward block."""
        return (3 if self.gated else 2) * self.width * self.ff_width

    @property
    def router_params(self) -> int:
        """Of one layer's router."""
        return self.width * self.experts if self.experts > 1 else 0

    @property
    def layer_params(self) -> int:
        """Of one layer: attention, all experts, router and two norms."""
        return self.attention_params + self.experts * self.expert_params + self.router_params + 2 * self.width

    @property
    def head_params(self) -> int:
        """Of the matrix that gives logits."""
        return self.vocab * self.width

    @property
    def lookup_params(self) -> int:
        """Of the tables that tokens and positions are looked up in, and never multiplied with."""
        return (0 if self.tied else self.head_params) + self.positions * self.width

    @property
    def n_params(self) -> int:
        """All parameters."""
        return self.layers * self.layer_params + self.width + self.head_params + self.lookup_params

    @property
    def body_active(self) -> int:
        """Parameters of the layers that one token is multiplied with."""
        idle = (self.experts - self.experts_per_token) * self.expert_params
        return self.layers * (self.layer_params - idle)

    def body_read(self, tokens: float) -> float:
        """Parameters of the layers that a step of that many tokens reads: of the experts, those that at least
        one token is sent to, if routing is even."""
        missed = (1 - self.experts_per_token / self.experts) ** tokens
        return self.layers * (self.layer_params - missed * self.experts * self.expert_params)

    def kv_bytes_per_token(self, number_bytes: float) -> float:
        """Bytes of keys and values that each token of the context leaves in the cache."""
        return 2 * self.layers * self.kv_heads * self.head_dim * number_bytes

    def attention_flops(self, context: float) -> float:
        """FLOPs of a forward pass of one token that attends to `context` tokens: scores and their sum."""
        return 4.0 * self.layers * self.heads * self.head_dim * context


@dataclass(frozen=True)
class ForecastModel(Serializable):
    """A model to forecast: a shape, and the parameters that it stands for."""

    name: str
    shape: ModelShape
    n_params: float
    """In memory: counted from the shape, or as given."""
    origin: str
    """Where the shape comes from, a clause."""
    tokens: float | None = None
    """Training tokens, where they are known or were asked for."""
    n_lookup: float | None = None
    """Of those, the ones that are looked up and not multiplied, where the parameters are a number that was
    given, and no count of the shape; zero for a number of which no more is known."""

    @classmethod
    def of_shape(
        cls, name: str, shape: ModelShape, origin: str, tokens: float | None = None
    ) -> ForecastModel:
        """The model whose parameters are the shape's."""
        return cls(name, shape, float(shape.n_params), origin, tokens)

    @property
    def n_active(self) -> float:
        """Parameters that a token visits, the N of 6ND: all of a dense model, look-ups too, unless the number
        was given without them."""
        if self.n_lookup is not None:
            return self.n_params - self.n_lookup
        return self.n_params - self.shape.layers * self.shape.layer_params + self.shape.body_active

    @property
    def n_body(self) -> float:
        """Parameters that each token of a prompt is multiplied with."""
        return self.shape.body_active if self.n_lookup is None else self.n_active

    @property
    def n_head(self) -> float:
        """Parameters that only a token whose successor is wanted is multiplied with."""
        return self.shape.head_params if self.n_lookup is None else 0.0

    def n_read(self, tokens: float) -> float:
        """Parameters that a step of that many tokens reads."""
        return self.shape.body_read(tokens) + self.n_head if self.n_lookup is None else self.n_active


@dataclass(frozen=True)
class PublicShape(ModelShape):
    """A public model's shape as its file has it: `analysis/costs/architectures/NAME.toml`."""

    name: str = ""
    title: str = ""
    tokens: float | None = None
    """What it was trained on."""
    source: str = ""
    seen: Literal["read", "quoted", "memory"] = "memory"
    """In its makers' own text, quoted by others, or from memory and not confirmed."""

    def model(self) -> ForecastModel:
        """The model, with its training tokens."""
        names = [field.name for field in dataclasses.fields(ModelShape)]
        shape = ModelShape(**{name: getattr(self, name) for name in names})
        origin = f"{self.source} ({self.seen})" if self.source else "your own file"
        return ForecastModel.of_shape(self.title or self.name, shape, origin, self.tokens)
