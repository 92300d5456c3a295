"""What a forecast may be asked for; the command line takes its options from here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field

from isoflop.analysis.costs.architectures.shape_rule import ShapeOptions
from isoflop.analysis.costs.estimate import UTILIZATION
from isoflop.analysis.costs.precision import Computed, Stored
from isoflop.base.errors import UserError
from isoflop.base.fields import Count, InvalidFieldError, NotNegative, Positive, check_fields
from isoflop.base.formatting import compact

Share = Annotated[float, Field(gt=0, le=1)]

FEWEST_TOKENS = 1e6
"""Training tokens below which, for a model of `BILLION` parameters, billions were meant."""
BILLION = 1e9
FEWEST_PARAMS = 1e3
"""Parameters below which millions or billions were meant."""
FEWEST_FLOPS = 1e9
"""Training FLOPs below which another unit was meant, such as PF-days."""
LONGEST_SECONDS = {"max_ttft": 60.0, "max_tpot": 2.0}
"""Targets above them were meant in milliseconds."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model, besides what is named."""

    flops: Positive | None = None
    """Training FLOPs: of a law, the budget that it says what to train with."""
    loss: Positive | None = None
    """Loss to reach, in the fit's unit: of a law, the least compute for it."""
    n_params: Positive | None = None
    """Parameters, without a name: 8e9; of a law, the compute-optimal run of that size."""
    tokens: Positive | None = None
    """Training tokens: 15e12; without them only serving is forecast."""
    layers: Count | None = None
    """Layers of the model; this and the sizes below are by a rule after Llama 3 unless given."""
    width: Count | None = None
    """Features of the residual stream."""
    heads: Count | None = None
    """Attention heads."""
    kv_heads: Count | None = None
    """Heads of keys and values: as many as heads (MHA), fewer (GQA), or one (MQA)."""
    head_dim: Count | None = None
    """Features of a head."""
    ff_width: Count | None = None
    """Features of the feed-forward block's inside."""
    vocab: Count | None = None
    """Tokens of the vocabulary."""
    group: str | None = None
    """Which group's law, of a fit with shared parameters (--share)."""
    force: bool = False
    """Extrapolate even from a fit that is not certified or not identified."""

    def __post_init__(self) -> None:
        """Raises `UserError` for a value that its field does not take, or that is in another unit."""
        check_fields(self)
        if self.n_params is not None and self.n_params < FEWEST_PARAMS:
            reason = f"{self.n_params:g}: parameters, not billions: {self.n_params:g}e9 for those"
            raise InvalidFieldError("n_params", reason)
        if self.flops is not None and self.flops < FEWEST_FLOPS:
            reason = f"{self.flops:g}: FLOPs, not PF-days: one of those is 8.64e19 FLOPs"
            raise InvalidFieldError("flops", reason)

    @property
    def shape(self) -> ShapeOptions:
        """The sizes that are given."""
        names = (field.name for field in dataclasses.fields(ShapeOptions))
        return ShapeOptions(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """On what."""

    device: str = "h100"
    """A device by name, or the path of a .toml file of your own."""
    price: NotNegative | None = None
    """What one device costs an hour, in any currency. Without it no money is forecast."""
    watts: Positive | None = None
    """What one device draws; unless given, the most that its maker states."""
    pue: Annotated[float, Field(ge=1)] = 1.0
    """Power usage effectiveness: what the whole site draws over what the devices do."""
    memory_fraction: Share = 0.9
    """Share of a device's memory that may be filled; vLLM's servers take .9."""

    def __post_init__(self) -> None:
        """Raises `UserError` for a value that its field does not take."""
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How it is trained."""

    devices: Count | None = None
    """Devices to train on; the fewest that hold it unless given."""
    utilization: tuple[Share, ...] = UTILIZATION
    """Share of peak FLOP/s that 6 N D comes to (MFU): one number, or a range."""
    recompute: Literal["auto", "always", "never"] = "auto"
    """Recompute activations in the backward pass: less memory, a third more FLOPs in the layers. auto: where
    they don't fit the devices, or would take over half of one."""
    sequence_length: Count = 4096
    """Tokens of a training sequence."""
    micro_batch: Count = 1
    """Sequences that a device works on at a time."""
    training_dtype: Literal["bf16", "fp32"] = "bf16"
    """bf16: with master weights and moments in fp32, 16 bytes a parameter; fp32: the same 16 bytes."""

    def __post_init__(self) -> None:
        """Raises `UserError` for a value that its field does not take, such as percent for a share."""
        _several(self, "utilization")
        check_fields(self)
        if len(self.utilization) not in (1, 2):
            given = " ".join(map(compact, self.utilization)) or "nothing"
            raise InvalidFieldError("utilization", f"{given}: give one share of peak, or the ends of a range")


@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    """How it is served."""

    weights: Stored = "bf16"
    """What weights are kept in."""
    kv: Stored = "bf16"
    """What the KV cache is kept in."""
    compute: Computed | None = None
    """What products are computed in; unless given, what weights are kept in, for int4 bf16; on a device
    without it the fastest wider format."""
    tensor_parallel: Count | None = None
    """Devices that one copy of the model is sharded over; unless given, the least power of two that holds
    it."""
    max_tensor_parallel: Count | None = None
    """The most devices that one copy may be sharded over; those of a node unless given."""
    prompt: tuple[Count, ...] = (1024,)
    """Tokens of a request's prompt; several: a table over them."""
    output: Annotated[int, Field(ge=2)] = 256
    """Tokens that a request generates."""
    batch: tuple[Count, ...] = ()
    """Requests that are decoded together; unless given, powers of two up to what memory holds."""

    def __post_init__(self) -> None:
        """Raises `UserError` for a value that its field does not take."""
        _several(self, "prompt", "batch")
        check_fields(self)
        if not self.prompt:
            raise InvalidFieldError("prompt", "nothing: give at least one number of tokens")


@dataclass(frozen=True, kw_only=True)
class TargetOptions:
    """What serving has to meet: asks for the fewest devices, and the batch, that do."""

    rate: Positive | None = None
    """Output tokens a second, of all devices together."""
    max_ttft: Positive | None = None
    """Seconds to the first token."""
    max_tpot: Positive | None = None
    """Seconds per output token after the first, (total - TTFT) / (tokens - 1)."""

    def __post_init__(self) -> None:
        """Raises `UserError` for a value that its field does not take, or that is in milliseconds."""
        check_fields(self)
        for name, longest in LONGEST_SECONDS.items():
            value = getattr(self, name)
            if value is not None and value > longest:
                reason = f"{value:g}: seconds, not milliseconds: {value / 1000:g} for those"
                raise InvalidFieldError(name, reason)


@dataclass(frozen=True, kw_only=True)
class ForecastOptions(TargetOptions, ServingOptions, TrainingOptions, DeviceOptions, ModelOptions):
    """What to forecast, on what, and how."""

    only: Literal["training", "serving"] | None = None
    """Leave the other part out."""

    def __post_init__(self) -> None:
        """Raises `UserError` for a value that its field does not take, or that is in another unit."""
        _several(self, "utilization", "prompt", "batch")  # each check is of all fields
        for group in GROUPS:
            group.__post_init__(self)

    @property
    def targets(self) -> bool:
        """Whether the fewest devices are asked for."""
        return any(getattr(self, field.name) is not None for field in dataclasses.fields(TargetOptions))

    @classmethod
    def together(cls, groups: Iterable[object], only: Literal["training", "serving"] | None) -> Self:
        """The options of several groups."""
        return cls(**{name: value for group in groups for name, value in vars(group).items()}, only=only)


GROUPS = (ModelOptions, DeviceOptions, TrainingOptions, ServingOptions, TargetOptions)
"""What `ForecastOptions` is made of."""


def check_tokens(tokens: float, n_params: float) -> None:
    """Raises `UserError` for training tokens that can only be meant in billions or trillions."""
    if tokens < FEWEST_TOKENS and n_params >= BILLION:
        raise UserError(
            f"--tokens {tokens:g}: {n_params:.3g} parameters on {tokens:g} tokens? Give tokens, not billions "
            f"or trillions: {tokens:g}e9, {tokens:g}e12"
        )


def _several(options: object, *names: str) -> None:
    """Makes tuples of fields that may hold one value or several."""
    for name in names:
        value = getattr(options, name)
        object.__setattr__(options, name, tuple(value) if isinstance(value, Iterable) else (value,))
