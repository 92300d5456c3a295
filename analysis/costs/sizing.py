"""The inverse: the fewest devices for a rate, a time to the first token and a time per token."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from isoflop.analysis.costs.architectures.model_shape import ForecastModel
from isoflop.analysis.costs.estimate import Estimate
from isoflop.analysis.costs.hardware.device import Device
from isoflop.analysis.costs.options import ForecastOptions
from isoflop.analysis.costs.serving import Replica, ServingPoint, check_fits, most_devices, serving_point
from isoflop.analysis.costs.training import gigabytes
from isoflop.base.errors import UserError
from isoflop.base.json_values import Serializable

BASES: dict[str, Callable[[Estimate], float]] = {
    "roofline": lambda time: time.roofline,
    "expected": lambda time: time.expected,
    "safe": lambda time: time.high,
}
"""What a time is taken to be: no arrangement does with fewer devices than at the roofline; `safe` is the slow
end of the range."""
UNBOUND_BATCH = 65_536
"""The largest batch that is tried."""


@dataclass(frozen=True)
class Fleet:
    """The fewest devices that meet the targets, by one basis. Times in seconds, rates in tokens a second."""

    basis: str
    devices: int
    replicas: int
    tensor_parallel: int
    batch: int
    """Requests in flight in each replica."""
    ttft: float
    tpot: float
    tokens_per_second: float
    """Of all replicas, with each at that batch."""
    cost_per_million: float | None


@dataclass(frozen=True)
class Sizing(Serializable):
    """The targets, and the fewest devices by each basis; None where no arrangement meets them by it."""

    prompt: int
    output: int
    rate: float | None
    max_ttft: float | None
    max_tpot: float | None
    fleets: dict[str, Fleet | None]
    refusals: dict[str, str]
    """Why not, by basis."""


def size_fleet(model: ForecastModel, device: Device, options: ForecastOptions) -> Sizing | None:
    """The fewest devices for the targets; None where there are none.

    Raises `UserError`, with the arithmetic, for targets that cannot be met even at the roofline.
    """
    if not options.targets:
        return None
    prompt, *further = options.prompt
    if further:
        raise UserError(
            "--rate, --max-ttft and --max-tpot are for one --prompt: give its longest or its mean"
        )
    fleets: dict[str, Fleet | None] = {}
    refusals: dict[str, str] = {}
    for basis in BASES:
        try:
            fleets[basis] = _fewest(model, device, options, basis)
        except UserError as error:
            fleets[basis], refusals[basis] = None, str(error)
    if fleets["roofline"] is None:
        raise UserError(refusals["roofline"])
    return Sizing(
        prompt=prompt,
        output=options.output,
        rate=options.rate,
        max_ttft=options.max_ttft,
        max_tpot=options.max_tpot,
        fleets=fleets,
        refusals=refusals,
    )


def _fewest(model: ForecastModel, device: Device, options: ForecastOptions, basis: str) -> Fleet:
    """Of all shardings, the one with the fewest devices; of those the one of the highest rate."""
    found = []
    replica = None
    for replica in _replicas(model, device, options):
        batch = _largest_batch(replica, options, BASES[basis])
        if batch:
            found.append(_fleet(replica, batch, options, basis))
    if found:
        return min(found, key=lambda fleet: (fleet.devices, -fleet.tokens_per_second))
    assert replica is not None
    raise UserError(_why_not(replica, options, BASES[basis]))


def _replicas(model: ForecastModel, device: Device, options: ForecastOptions) -> Iterator[Replica]:
    """One copy on 1, 2, 4, ... devices, or on as many as are asked for."""
    if options.tensor_parallel:
        yield Replica.of(model, device, options.tensor_parallel, options)
        return
    most = most_devices(device, options)
    for k in range(most.bit_length()):
        yield Replica.of(model, device, 2**k, options)


def _largest_batch(replica: Replica, options: ForecastOptions, of: Callable[[Estimate], float]) -> int:
    """The most requests in flight within memory and targets, by bisection; 0 where one alone is too many.

    The rate rises with the batch, so that it is the one with the fewest replicas; of what is asked for,
    --batch, only those count.
    """

    def meets(batch: int) -> bool:
        return batch == 0 or _meets(serving_point(replica, options.prompt[0], batch, options), options, of)

    held = min(replica.largest_batch(options.prompt[0] + options.output), UNBOUND_BATCH)
    if options.batch:
        return max((batch for batch in options.batch if batch <= held and meets(batch)), default=0)
    low, high = 0, held + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if meets(middle) else (low, middle)
    return low


def _meets(point: ServingPoint, options: ForecastOptions, of: Callable[[Estimate], float]) -> bool:
    fast = options.max_ttft is None or of(point.ttft) <= options.max_ttft
    return fast and (options.max_tpot is None or of(point.tpot) <= options.max_tpot)


def _fleet(replica: Replica, batch: int, options: ForecastOptions, basis: str) -> Fleet:
    of = BASES[basis]
    point = serving_point(replica, options.prompt[0], batch, options)
    rate = batch * options.output / of(point.turnover)
    # The largest batch sets how many replicas there are; they then share the requests, each a smaller batch.
    replicas = 1 if options.rate is None else math.ceil(options.rate / rate)
    cost = None
    if options.price is not None:
        asked = options.rate or rate
        cost = options.price * replica.devices * replicas / 3600 / asked * 1e6
    return Fleet(
        basis=basis,
        devices=replicas * replica.devices,
        replicas=replicas,
        tensor_parallel=replica.devices,
        batch=batch,
        ttft=of(point.ttft),
        tpot=of(point.tpot),
        tokens_per_second=rate * replicas,
        cost_per_million=cost,
    )


def _why_not(replica: Replica, options: ForecastOptions, of: Callable[[Estimate], float]) -> str:
    """Why even the largest sharding does not meet the targets, with the arithmetic."""
    prompt = options.prompt[0]
    context, batch = prompt + options.output, min(options.batch, default=1)
    try:
        check_fits(replica, context, batch, replica.largest_batch(context))
    except UserError as error:
        return str(error)
    point, device = serving_point(replica, prompt, batch, options), replica.device
    on = f"{replica.devices} x {device.title}"
    if options.max_ttft is not None and of(point.ttft) > options.max_ttft:
        model = replica.model
        flops = 2 * model.n_body * prompt + model.shape.attention_flops(prompt / 2) * prompt
        return (
            f"--max-ttft {options.max_ttft:g}: a prompt of {prompt} tokens is {flops:.3g} FLOPs, "
            f"{of(point.ttft):.3g} s on {on}: give a shorter --prompt, more --max-tensor-parallel, or a "
            "faster --device"
        )
    waiting = "" if batch == 1 else " with the pauses while other prompts are prefilled"
    read = replica.needed(batch, prompt + options.output / 2)
    return (
        f"--max-tpot {options.max_tpot:g}: at batch {batch} a step reads {gigabytes(read)}, which takes "
        f"{of(point.tpot):.3g} s a token on {on}{waiting}: use fewer bits (--weights), more "
        "--max-tensor-parallel, or a faster --device"
    )
