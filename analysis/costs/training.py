"""The training of a model: FLOPs, hours, money, energy, and memory on each device."""

from __future__ import annotations

import math
from dataclasses import dataclass

from isoflop.analysis.costs.architectures.model_shape import ForecastModel, ModelShape
from isoflop.analysis.costs.estimate import Estimate, utilized
from isoflop.analysis.costs.hardware.device import Device
from isoflop.analysis.costs.options import ForecastOptions
from isoflop.analysis.costs.precision import BYTES
from isoflop.base.errors import UserError
from isoflop.base.json_values import Serializable

BACKWARD = 2
"""The backward pass over the forward pass, in FLOPs: each product has a gradient for either factor."""
MASTER_BYTES, MOMENT_BYTES = 4, 8
"""A copy of a parameter in fp32, and Adam's two moments. With weights and gradients in bf16, 2 + 2, it is the
16 bytes a parameter of Rajbhandari et al. (2020), section 3.1."""
LOGIT_BYTES = 4
"""Of the gradient of a logit, in fp32, beside the logit itself."""


@dataclass(frozen=True)
class TrainingFlops:
    """FLOPs of a training run, in all."""

    counted: float
    """What time is reckoned by: 6 N D, or the budget that was given."""
    six_nd: float
    products: float
    """Of all products with parameters: 6 N D less the look-ups."""
    attention: float
    """Of scores and their sums, the masked half included, as Hoffmann et al. (2022) count them."""
    recomputation: float
    """Of a second forward pass through the layers, where activations are recomputed; else zero."""

    @property
    def executed(self) -> float:
        """All of them."""
        return self.products + self.attention + self.recomputation


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes on each device, with weights, gradients and optimizer sharded over all of them (ZeRO-3, FSDP)."""

    weights: float
    gradients: float
    master: float
    """Weights in fp32 beside those in bf16."""
    moments: float
    activations: float
    """What the backward pass finds kept, without attention's scores, which are recomputed (Flash)."""
    logits: float
    gathered: float
    """One layer's weights and gradients, whole, while it is worked on."""
    available: float

    @property
    def sharded(self) -> float:
        """What falls with the number of devices."""
        return self.weights + self.gradients + self.master + self.moments

    @property
    def whole(self) -> float:
        """What each device has whole."""
        return self.activations + self.logits + self.gathered

    @property
    def needed(self) -> float:
        """All of them."""
        return self.sharded + self.whole


@dataclass(frozen=True)
class TrainingForecast(Serializable):
    """A training run. Money in the currency of the price, an hour of all devices together; energy in kWh."""

    tokens: float
    flops: TrainingFlops
    recomputes: bool
    devices: int
    fewest_devices: int
    """That hold it."""
    utilization: tuple[float, float]
    hours: Estimate
    """The range is over the utilization."""
    device_hours: Estimate
    money: Estimate | None
    kwh: Estimate | None
    memory: TrainingMemory
    hardware_utilization: float
    """Executed FLOPs over peak, at the expected hours."""


def forecast_training(
    model: ForecastModel, device: Device, options: ForecastOptions, tokens: float, flops: float | None
) -> TrainingForecast:
    """The run on `tokens` tokens; `flops`: the budget it was planned for, in the law's counting.

    Raises `UserError` where its memory does not fit the devices, or any number of them.
    """
    recomputes = _recomputes(model, device, options)
    counts = training_flops(model, options, tokens, recomputes, flops)
    fewest = _fewest_devices(model, device, options, recomputes)
    devices = options.devices or fewest
    memory = training_memory(model, device, options, devices, recomputes)
    if devices < fewest:
        raise UserError(
            f"--devices {devices}: {gigabytes(memory.needed)} on each is more than "
            f"{options.memory_fraction:g} x {gigabytes(device.memory_bytes)} of {device.title}; the fewest "
            f"that hold it are {fewest}"
        )
    peak = device.peak(options.training_dtype) * devices
    hours = utilized(counts.counted / peak / 3600, options.utilization)
    watts = options.watts or device.watts
    price = options.price
    return TrainingForecast(
        tokens=tokens,
        flops=counts,
        recomputes=recomputes,
        devices=devices,
        fewest_devices=fewest,
        utilization=(min(options.utilization), max(options.utilization)),
        hours=hours,
        device_hours=hours.then(lambda h: h * devices),
        money=None if price is None else hours.then(lambda h: h * devices * price),
        kwh=None if watts is None else hours.then(lambda h: h * devices * watts * options.pue / 1000),
        memory=memory,
        hardware_utilization=counts.executed / (peak * hours.expected * 3600),
    )


def training_flops(
    model: ForecastModel,
    options: ForecastOptions,
    tokens: float,
    recomputes: bool = False,
    flops: float | None = None,
) -> TrainingFlops:
    """FLOPs of training on `tokens` tokens; `flops`: of the budget, if time is reckoned by it."""
    six_nd = 6 * model.n_active * tokens
    attention = model.shape.attention_flops(options.sequence_length) * tokens
    return TrainingFlops(
        counted=six_nd if flops is None else flops,
        six_nd=six_nd,
        products=2 * (1 + BACKWARD) * (model.n_body + model.n_head) * tokens,
        attention=(1 + BACKWARD) * attention,
        recomputation=2 * model.n_body * tokens + attention if recomputes else 0.0,
    )


def training_memory(
    model: ForecastModel, device: Device, options: ForecastOptions, devices: int, recomputes: bool
) -> TrainingMemory:
    """Bytes on each of `devices` devices."""
    number = BYTES[options.training_dtype]
    shape, tokens = model.shape, options.micro_batch * options.sequence_length
    each = model.n_params / devices
    return TrainingMemory(
        weights=each * number,
        gradients=each * number,
        master=each * MASTER_BYTES if number < MASTER_BYTES else 0.0,
        moments=each * MOMENT_BYTES,
        activations=tokens * kept_per_token(shape, number, recomputes),
        logits=tokens * shape.vocab * (number + LOGIT_BYTES),
        gathered=2 * max(shape.layer_params, shape.head_params) * number,
        available=device.memory_bytes * options.memory_fraction,
    )


def _recomputes(model: ForecastModel, device: Device, options: ForecastOptions) -> bool:
    if options.recompute != "auto":
        return options.recompute == "always"
    kept = training_memory(model, device, options, options.devices or 1, False)
    if options.devices:
        return kept.needed > kept.available
    return kept.whole > kept.available / 2


def kept_per_token(shape: ModelShape, number_bytes: float, recompute: bool) -> float:
    """Bytes of activations that a token leaves for the backward pass, in all layers.

    Korthikanti et al. (2022), section 4, without dropout's masks and attention's scores: for their block of
    4 h, 32 h bytes a layer in bf16. Recomputed: each layer's input, and one layer at a time in full.
    """
    # In and out of two norms; queries, keys and values; attention's output; and of the feed-forward block the
    # inside before and after its non-linearity, with a gate also its product.
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    inside = (3 if shape.gated else 2) * shape.ff_width * shape.experts_per_token
    layer = number_bytes * (4 * shape.width + 2 * queries + 2 * keys + inside)
    if recompute:
        return shape.layers * shape.width * number_bytes + layer
    return shape.layers * layer


def _fewest_devices(model: ForecastModel, device: Device, options: ForecastOptions, recomputes: bool) -> int:
    """Devices whose memory holds the run. Raises `UserError` where no number of them does."""
    one = training_memory(model, device, options, 1, recomputes)
    if one.whole >= one.available:
        again = "" if recomputes else "--recompute always, "
        raise UserError(
            f"no number of {device.title} holds this training: {gigabytes(one.activations)} of activations "
            f"+ {gigabytes(one.logits)} of logits + {gigabytes(one.gathered)} of one layer gathered are more "
            f"than {options.memory_fraction:g} x {gigabytes(device.memory_bytes)}, however the rest is "
            f"sharded: use {again}a smaller --sequence-length or --micro-batch"
        )
    return math.ceil(one.sharded / (one.available - one.whole))


def gigabytes(number: float) -> str:
    """Bytes in GB, three digits."""
    return f"{number / 1e9:.3g} GB" if number < 1e12 else f"{number / 1e9:,.0f} GB"
