"""The serving of a model by rooflines: memory, time to the first token, time per token, cost, energy.

Each operation takes the longer of its FLOPs over peak and its bytes over bandwidth. In a decode step the
products with weights and attention over the KV cache come one after the other, so their times add: the step
of jax-ml/scaling-book @ 0819a7d, inference.md, "Theoretical Step Time (General)". At the roofline sharding is
ideal; what is expected adds the sums over devices.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isoflop.analysis.costs.architectures.model_shape import ForecastModel
from isoflop.analysis.costs.estimate import (
    BANDWIDTH_SHARE,
    STEP_SECONDS,
    SUM_SECONDS,
    UTILIZATION,
    Estimate,
    served,
)
from isoflop.analysis.costs.hardware.device import Device
from isoflop.analysis.costs.options import ForecastOptions
from isoflop.analysis.costs.precision import BYTES, COMPUTED_IN, Computed
from isoflop.analysis.costs.training import gigabytes
from isoflop.base.errors import UserError
from isoflop.base.json_values import Serializable

if TYPE_CHECKING:
    import pandas as pd

LARGEST_BATCH = 1024
"""Of the table's own batches: no server schedules many more requests at a time."""
RULE_OF_THUMB = 1.2
"""Memory of serving over that of the weights alone, by the rule M = P Z 1.2."""
PREFILL_UTILIZATION = sum(UTILIZATION) / 2


@dataclass(frozen=True)
class Work:
    """FLOPs and bytes of one operation, over all devices."""

    flops: float
    bytes: float


@dataclass(frozen=True)
class Replica:
    """One copy of a model, sharded evenly over `devices` devices."""

    model: ForecastModel
    device: Device
    devices: int
    weights: str
    kv: str
    compute: Computed
    """The format that products are computed in."""
    memory_fraction: float

    @classmethod
    def of(cls, model: ForecastModel, device: Device, devices: int, options: ForecastOptions) -> Replica:
        """The replica that the options ask for."""
        compute = device.computes(options.compute or COMPUTED_IN[options.weights])
        return cls(model, device, devices, options.weights, options.kv, compute, options.memory_fraction)

    @property
    def weight_bytes(self) -> float:
        """Of all weights."""
        return self.model.n_params * BYTES[self.weights]

    @property
    def kv_per_token(self) -> float:
        """Bytes that each token of the context leaves in the KV cache."""
        return self.model.shape.kv_bytes_per_token(BYTES[self.kv])

    @property
    def available(self) -> float:
        """Bytes of memory, of all devices, that may be filled."""
        return self.device.memory_bytes * self.memory_fraction * self.devices

    def needed(self, batch: int, context: float) -> float:
        """Bytes of weights and of the KV cache of `batch` requests of `context` tokens."""
        return self.weight_bytes + batch * context * self.kv_per_token

    def largest_batch(self, context: float) -> int:
        """Requests of `context` tokens that fit beside the weights; 0 where none does."""
        return max(0, math.floor((self.available - self.weight_bytes) / (context * self.kv_per_token)))

    @property
    def critical_batch(self) -> float:
        """Tokens a step at which products with the weights take as long as reading them."""
        return self.device.peak(self.compute) * BYTES[self.weights] / (2 * self.device.bandwidth)

    def step(self, batch: float, context: float) -> Estimate:
        """Seconds of a decode step: a token for each of `batch` requests of `context` tokens each."""
        shape, active = self.model.shape, self.model.n_body + self.model.n_head
        weights = Work(2 * active * batch, self.model.n_read(batch) * BYTES[self.weights])
        attention = Work(shape.attention_flops(context) * batch, batch * context * self.kv_per_token)
        return self._time((weights, attention), self.exchange(batch))

    def prefill(self, prompt: float) -> Estimate:
        """Seconds to the first token of a prompt, alone on the devices: queueing is left out."""
        # Attention is causal: on average a token attends to half of the prompt. Logits are the last token's.
        linear = 2 * (self.model.n_body * prompt + self.model.n_head)
        weights = Work(linear, self.model.n_read(prompt) * BYTES[self.weights])
        attention = Work(self.model.shape.attention_flops(prompt / 2) * prompt, prompt * self.kv_per_token)
        return self._time((weights, attention), self.exchange(prompt))

    def exchange(self, tokens: float) -> float:
        """Seconds of the sums over devices that tensor parallelism takes: two a layer, of the activations of
        so many tokens in bf16, around a ring (Shoeybi et al. 2019). Zero where the link is not known."""
        link, shape = self.device.link_gigabytes_per_second, self.model.shape
        if self.devices == 1 or link is None:
            return 0.0
        sent = 2 * (self.devices - 1) / self.devices * tokens * shape.width * BYTES["bf16"]
        return 2 * shape.layers * (SUM_SECONDS + sent / (link * 1e9))

    def _time(self, works: tuple[Work, ...], exchange: float) -> Estimate:
        peak = self.device.peak(self.compute) * self.devices
        return operation_seconds(works, peak, self.device.bandwidth * self.devices, exchange)


def operation_seconds(
    works: tuple[Work, ...], peak: float, bandwidth: float, exchange: float = 0.0
) -> Estimate:
    """Seconds of works that come one after the other, at `peak` FLOP/s and `bandwidth` bytes a second, with
    `exchange` seconds besides."""

    def seconds(utilization: float, share: float) -> float:
        return sum(max(w.flops / (peak * utilization), w.bytes / (bandwidth * share)) for w in works)

    expected = seconds(PREFILL_UTILIZATION, BANDWIDTH_SHARE) + STEP_SECONDS + exchange
    return served(seconds(1.0, 1.0), expected)


@dataclass(frozen=True)
class ServingPoint:
    """A server of one replica that keeps `batch` requests in flight: one that ends is followed by another,
    whose prompt is prefilled on the same devices, while the others wait.
    """

    prompt: int
    batch: int
    memory: float
    """Bytes of weights and full caches, of all devices."""
    ttft: Estimate
    """Seconds."""
    step: Estimate
    """Seconds of a decode step."""
    tpot: Estimate
    """Seconds per output token after the first, (total - TTFT) / (tokens - 1): steps and pauses."""
    turnover: Estimate
    """Seconds in which as many requests are served as are in flight."""
    tokens_per_second: Estimate
    """Output tokens of all requests; here `roofline` is the most."""
    cost_per_million: Estimate | None
    """Of a million output tokens, their prompts included, in the currency of the price."""
    joules_per_token: Estimate | None


@dataclass(frozen=True)
class Serving(Serializable):
    """The serving of a model on `devices` devices a replica."""

    devices: int
    weights: str
    kv: str
    compute: Computed
    output: int
    weight_bytes: float
    kv_bytes_per_token: float
    rule_of_thumb_bytes: float
    """M = P Z 1.2."""
    available_bytes: float
    largest_batch: dict[int, int]
    """By prompt: the requests that memory holds."""
    critical_batch: float
    ridge: float
    """FLOPs over bytes at which the device is balanced."""
    points: tuple[ServingPoint, ...]

    def to_frame(self) -> pd.DataFrame:
        """The points, a row each: `prompt`, `batch`, `memory`, and of every estimate `NAME_roofline`,
        `NAME_expected`, `NAME_low` and `NAME_high`."""
        import pandas as pd

        return pd.json_normalize([dataclasses.asdict(point) for point in self.points], sep="_")


def forecast_serving(model: ForecastModel, device: Device, options: ForecastOptions) -> Serving:
    """Memory, latency and throughput over prompts and batches.

    Raises `UserError` where a batch does not fit the devices, or the weights do not.
    """
    replica = Replica.of(model, device, _devices(model, device, options), options)
    largest = {prompt: replica.largest_batch(prompt + options.output) for prompt in options.prompt}
    points = []
    for prompt, most in largest.items():
        check_fits(replica, prompt + options.output, max(options.batch, default=1), most)
        points += [serving_point(replica, prompt, batch, options) for batch in _batches(most, options)]
    return Serving(
        devices=replica.devices,
        weights=replica.weights,
        kv=replica.kv,
        compute=replica.compute,
        output=options.output,
        weight_bytes=replica.weight_bytes,
        kv_bytes_per_token=replica.kv_per_token,
        rule_of_thumb_bytes=replica.weight_bytes * RULE_OF_THUMB,
        available_bytes=replica.available,
        largest_batch=largest,
        critical_batch=replica.critical_batch,
        ridge=device.peak(replica.compute) / device.bandwidth,
        points=tuple(points),
    )


def serving_point(replica: Replica, prompt: int, batch: int, options: ForecastOptions) -> ServingPoint:
    """The server at one prompt and batch; that it fits is the caller's to check."""
    # The prefill gives the first token, each step another one; the cache grows by a token a step, so that a
    # request's mean context is its prompt and half its output. While a request takes its steps, each of the
    # others is followed once by a new one.
    steps = options.output - 1
    ttft = replica.prefill(prompt)
    step = replica.step(batch, prompt + options.output / 2)
    tpot = step + ttft.then(lambda seconds: seconds * (batch - 1) / steps)
    turnover = ttft.then(lambda seconds: seconds * batch) + step.then(lambda seconds: seconds * steps)
    watts, price = options.watts or replica.device.watts, options.price
    rate = turnover.then(lambda seconds: batch * options.output / seconds)
    power = None if watts is None else watts * replica.devices * options.pue
    return ServingPoint(
        prompt=prompt,
        batch=batch,
        memory=replica.needed(batch, prompt + options.output),
        ttft=ttft,
        step=step,
        tpot=tpot,
        turnover=turnover,
        tokens_per_second=rate,
        cost_per_million=None
        if price is None
        else rate.then(lambda r: cost_per_million(price * replica.devices, r)),
        joules_per_token=None if power is None else rate.then(lambda r: power / r),
    )


def cost_per_million(price_per_hour: float, tokens_per_second: float) -> float:
    """Of a million tokens, from what all devices cost an hour."""
    return price_per_hour / 3600 / tokens_per_second * 1e6


def check_fits(replica: Replica, context: int, batch: int, most: int) -> None:
    """Raises `UserError` where `batch` requests of `context` tokens do not fit: `most` do."""
    if batch <= most:
        return
    have = (
        f"{replica.memory_fraction:g} x {replica.devices} x {gigabytes(replica.device.memory_bytes)} of "
        f"{replica.device.title}"
    )
    if replica.weight_bytes >= replica.available:
        raise UserError(
            f"{gigabytes(replica.weight_bytes)} of weights in {replica.weights} are more than {have}: use "
            "more --tensor-parallel, or fewer bits (--weights)"
        )
    raise UserError(
        f"batch {batch}: {gigabytes(replica.weight_bytes)} of weights + {batch} x {context} tokens x "
        f"{replica.kv_per_token:,.0f} bytes of KV cache are {gigabytes(replica.needed(batch, context))}, "
        f"more than {have}: at most {most} fit; or use more --tensor-parallel, or fewer bits (--weights, "
        "--kv)"
    )


def most_devices(device: Device, options: ForecastOptions) -> int:
    """The most devices that one copy of the model may be sharded over."""
    return options.max_tensor_parallel or device.node_size


def _devices(model: ForecastModel, device: Device, options: ForecastOptions) -> int:
    """Those asked for, or the least power of two that holds the largest request or batch."""
    if options.tensor_parallel:
        return options.tensor_parallel
    context, batch = max(options.prompt) + options.output, max(options.batch, default=1)
    devices, most = 1, most_devices(device, options)
    while Replica.of(model, device, devices, options).largest_batch(context) < batch and 2 * devices <= most:
        devices *= 2
    return devices


def _batches(most: int, options: ForecastOptions) -> tuple[int, ...]:
    if options.batch:
        return options.batch
    powers = [2**k for k in range(LARGEST_BATCH.bit_length()) if 2**k <= min(most, LARGEST_BATCH)]
    return (*powers, most) if powers[-1] < most < LARGEST_BATCH else tuple(powers)
